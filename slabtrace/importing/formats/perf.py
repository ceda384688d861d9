# SPDX-License-Identifier: Apache-2.0
"""perf.data, through `perf script`: its text is read as that of ftrace, with what its header says.

Names of functions are found where perf runs.  So a perf.data is best imported on the machine that recorded
it, before its next boot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from slabtrace.errors import TraceError
from slabtrace.importing.formats.programs import answer, required, running
from slabtrace.importing.formats.sources import Readable
from slabtrace.importing.records import KINDS, Facts, Lost

_EVENTS = "comm,pid,tid,cpu,time,event,trace"
_STACKS = "ip,sym,symoff,dso"
_ONLY = {
    "filter": "",
    "pid": " (only this process)",
    "tid": " (only this thread)",
    "uid": " (only this user)",
    "cpu": " (only these CPUs)",
    "cgroup": " (only this cgroup)",
}
_SHORT = {"p": "pid", "t": "tid", "u": "uid", "C": "cpu", "G": "cgroup"}
_OPTION = re.compile(rf"--({'|'.join(_ONLY)})(?:=(.*))?|-([{''.join(_SHORT)}])(.*)")
_SAMPLED = re.compile(
    r"^# event : name = (?:kmem:)?(\w+)\b.*\{ sample_period, sample_freq \} = (\d+)", re.MULTILINE
)
_CLOCKS = {"0": "realtime", "1": "monotonic", "4": "monotonic raw", "7": "boottime"}
_LOST = re.compile(
    r"^kmem:(\w+) stats:\n(?:\s+[A-Z_0-9]+ events:.*\n)*?\s+LOST_SAMPLES events:\s+(\d+)", re.MULTILINE
)


@contextmanager
def perf_text(path: Path, facts: Facts) -> Iterator[Readable]:
    """The text of a perf.data.  Raises UsageError if perf is missing, TraceError if it cannot read it."""
    perf = required("perf", path)
    header = answer([perf, "script", "-i", str(path), "--header-only"])
    stacks = _read_header(header, facts)
    if facts.enabled is not None and not set(facts.enabled) & set(KINDS):
        raise TraceError(f"{path} has no kmem events", "Record them: perf record -a -g -k mono -e 'kmem:*'")
    fields = f"{_EVENTS},{_STACKS}" if stacks else _EVENTS
    command = [perf, "script", "-i", str(path), "-F", fields, "--ns", "--show-lost-events"]
    with running(command, path) as output:
        yield output
    facts.losses_told = True
    _add_lost_samples(answer([perf, "report", "-i", str(path), "--stats"]), facts)


def _read_header(header: str, facts: Facts) -> bool:
    """Note what the header says; returns whether there are stacks."""
    facts.tool = "perf"
    facts.release, facts.hostname = _line(header, "os release"), _line(header, "hostname")
    facts.machine = _line(header, "arch")
    cpus = _line(header, "nrcpus avail")
    facts.cpus_declared = int(cpus) if cpus.isdigit() and int(cpus) < 8192 else 0
    events = re.findall(r"^# event : name = (?:kmem:)?(\w+)\b.*$", header, re.MULTILINE)
    facts.enabled = [each for each in dict.fromkeys(events) if each in KINDS] if events else None
    clock = re.search(r"use_clockid = 1.*clockid = (\d+)", header)
    facts.clock = _CLOCKS.get(clock[1], "") if clock else "perf"
    facts.sampled = any(name in KINDS and number != "1" for name, number in _SAMPLED.findall(header))
    _read_command(_line(header, "cmdline"), "enable_on_exec = 1" in header, facts)
    return "CALLCHAIN" in header


def _read_command(command: str, on_exec: bool, facts: Facts) -> None:
    """Note filters: perf.data stores them only as they were typed.  `on_exec`: it followed one command."""
    words = command.partition(" -- ")[0].split()
    for at, word in enumerate(words):
        if found := _OPTION.fullmatch(word):
            name = found[1] or _SHORT[found[3]]
            value = found[2] or found[4] or _value(words[at + 1 :], name)
            facts.filters.append(f"--{name} {value}{_ONLY[name]}")
            if name == "cpu":
                facts.cpus_asked = _cpus(value)
    everywhere = any(re.match(r"--all-cpus$|-[a-zA-Z]*a", each) for each in words) and not on_exec
    if words and not everywhere and not facts.filters:
        facts.filters.append("no -a (only of the command that was run)")


def _value(words: list[str], name: str) -> str:
    """The value of an option: one word, but a filter goes on until the next option."""
    most = len(words) if name == "filter" else 1
    return " ".join(takewhile(lambda word: not word.startswith("-"), words[:most]))


def _cpus(value: str) -> set[int] | None:
    """The CPUs of "0-2,5"; None if it is no such list."""
    found: set[int] = set()
    for part in value.split(","):
        edges = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part, re.ASCII)
        if edges is None:
            return None
        found.update(range(int(edges[1]), int(edges[2] or edges[1]) + 1))
    return found


def _add_lost_samples(stats: str, facts: Facts) -> None:
    """Lost samples that perf counted for each event, where they are more than its records of losses say."""
    counted = sum(int(count) for name, count in _LOST.findall(stats) if name in KINDS)
    more = counted - sum(each.events for each in facts.lost)
    if more > 0:
        begin = min((each.begin_ns for each in facts.lost), default=0)
        facts.lost.append(Lost(begin, (1 << 62) - 1, -1, more, f"LOST_SAMPLES {counted}"))


def _line(header: str, name: str) -> str:
    found = re.search(rf"^# {re.escape(name)} : (.*?)\s*$", header, re.MULTILINE)
    return found[1] if found else ""
