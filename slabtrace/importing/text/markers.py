# SPDX-License-Identifier: Apache-2.0
"""What a text says about itself: headers, lost events, CPUs that began late or recorded nothing.

| line                                              | what follows                                          |
|---------------------------------------------------|-------------------------------------------------------|
| # entries-in-buffer/entries-written: 55/70  #P:4  | 4 CPUs; the 15 oldest events were overwritten         |
| ##### CPU 2 buffer started ####                   | what CPU 2 did before the next event is not there     |
| CPU:1 [LOST 673 EVENTS], CPU:1 [673 EVENTS DROPPED] | lost since the previous event of CPU 1              |
| CPU:1 [LOST EVENTS], CPU:1 [EVENTS DROPPED]       | the same, their number is not known                   |
| … PERF_RECORD_LOST lost 3880                      | the same, in perf's own line                          |
| cpus=4, CPU 3 is empty                            | 4 CPUs; CPU 3 recorded nothing                        |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from slabtrace.importing.records import Facts

NEEDLES = (b"LOST", b"DROPPED", b"buffer started")  # in lines that a text may have anywhere
HEAD_LINES = 60  # of a text, where its header is looked for
MOST_CPUS = 8192  # as the kernel's own limit
_LOST = re.compile(rb"^\s*CPU:(\d{1,4}) \[LOST (?:(\d{1,18}) )?EVENTS\]")
_DROPPED = re.compile(rb"^\s*CPU:(\d{1,4}) \[(?:(\d{1,18}) )?EVENTS DROPPED\]")
_PERF_LOST = re.compile(rb"\[(\d{1,4})\].*?\bPERF_RECORD_LOST(?:_SAMPLES)?[: ]+lost (\d{1,18})")
_STARTED = re.compile(rb"^##### CPU (\d{1,4}) buffer started ####")
_ENTRIES = re.compile(rb"^# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\s+#P:(\d{1,5})")
_CPUS = re.compile(rb"^cpus=(\d{1,5})\s*$")
_EMPTY = re.compile(rb"^CPU (\d{1,4}) is empty")


class Marker(NamedTuple):
    """Events lost on `cpu`: `events`, 0 if that is not known.  `started`: all of its events until now."""

    position: int
    cpu: int
    events: int
    started: bool
    text: str


def markers(text: bytes, begin: int, end: int) -> Iterator[Marker]:
    """The markers of losses in text[begin:end], by the position of their line, in the order of the text."""
    found = sorted({each for needle in NEEDLES for each in _lines_with(text, needle, begin, end)})
    for line in found:
        marker = _marker(line, text[line : text.find(b"\n", line)])
        if marker is not None:
            yield marker


def read_header(text: bytes, facts: Facts) -> None:
    """Note what the first lines of a text say of the whole."""
    for line in text.split(b"\n", HEAD_LINES)[:HEAD_LINES]:
        entries, cpus, empty = _ENTRIES.match(line), _CPUS.match(line), _EMPTY.match(line)
        if entries:
            before = facts.entries or (0, 0)  # of the files before this one
            facts.entries = before[0] + int(entries[1]), before[1] + int(entries[2])
            facts.cpus_declared = min(int(entries[3]), MOST_CPUS)
        elif cpus:
            facts.cpus_declared = min(int(cpus[1]), MOST_CPUS)
        elif empty and int(empty[1]) < MOST_CPUS:
            facts.cpus_empty.add(int(empty[1]))


def _lines_with(text: bytes, needle: bytes, begin: int, end: int) -> Iterator[int]:
    """Where the lines with `needle` begin."""
    at = text.find(needle, begin, end)
    while at >= 0:
        yield text.rfind(b"\n", 0, at) + 1
        at = text.find(needle, text.find(b"\n", at), end)


def _marker(begin: int, line: bytes) -> Marker | None:
    shown = line.strip()[:200].decode(errors="backslashreplace")
    started = _STARTED.match(line)
    if started:
        return Marker(begin, int(started[1]), 0, True, shown)
    found = _LOST.match(line) or _DROPPED.match(line) or _PERF_LOST.search(line[:400])
    return Marker(begin, int(found[1]), int(found[2] or 0), False, shown) if found else None
