# SPDX-License-Identifier: Apache-2.0
"""Snapshots as text, each at one moment: what is in use, by cache or by call site.

| kind | file | a row |
|---|---|---|
| slabinfo | /proc/slabinfo | a slab cache; objects that CPUs have parked count as in use |
| allocinfo | /proc/allocinfo (6.10) | a line of the kernel's source; also pages, not only slabs |
| alloc_traces | debugfs slab/NAME/alloc_traces (5.14) | a call site; ages in jiffies |
| kmemleak | debugfs kmemleak | a call site; objects by address; neither complete nor always right |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from slabtrace.errors import TraceError
from slabtrace.importing.formats.sources import opened

MOST_BYTES = 256 << 20
_BEGIN = re.compile(r"^(?:slabinfo - version: [\d.]+|allocinfo - version: [\d.]+)", re.MULTILINE)
_TIME = re.compile(
    r"^(?:# ?)?(?:@?(\d{9,11}(?:\.\d+)?)|(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,12}))\s*$", re.MULTILINE
)
_SLABINFO = re.compile(r"^(\S+) +(\d{1,15}) +(\d{1,15}) +(\d{1,9}) +\d+ +\d+ : tunables", re.MULTILINE)
_ALLOCINFO = re.compile(r"^ *(\d{1,18}) +(\d{1,18}) (\S+:\d+ (?:\[[^\]\s]+\] )?func:\S+)", re.MULTILINE)
_ALLOC_TRACE = re.compile(
    r"^ *(\d{1,15}) (\S+\+0x\S+(?: \[\S+\])?)(?: waste=\d+/\d+)? age=(?:\d+/\d+/)?(\d{1,15})", re.MULTILINE
)
_KMEMLEAK = re.compile(
    r"^unreferenced object 0x([0-9a-f]{1,16}) \(size (\d{1,12})\):\n"
    r'\s+comm "(.{0,64}?)", pid (\d{1,10}), jiffies \d+(?: \(age (\d{1,12}\.\d+)s\))?',
    re.MULTILINE,
)
_FRAME = re.compile(
    r"^\s+(?:\[<[0-9a-f(pval)]{1,16}>\] )?((?:[A-Za-z_.][^\s+]*\+0x\S+|0x[0-9a-f]+)(?: \[\S+\])?)\s*$",
    re.MULTILINE,
)
_ALLOCATOR = re.compile(
    r"kmemleak_alloc|kmem_cache_alloc|__?kmalloc|kzalloc|kmalloc|slab_post_alloc|__do_kmalloc"
)


class Count(NamedTuple):
    """What a cache or call site has in use.  `oldest`: as printed: s of kmemleak, jiffies of alloc_traces."""

    objects: int = 0
    bytes: int = 0
    oldest: float | None = None


class Reported(NamedTuple):
    """An object that kmemleak reports."""

    ptr: int
    place: str
    comm: str


@dataclass
class Snapshot:
    """One moment.  `time_s`: since 1970, None if it is not known; `counts` by cache or call site."""

    kind: str
    time_s: float | None = None
    counts: dict[str, Count] = field(default_factory=dict)
    reported: list[Reported] = field(default_factory=list)

    def add(self, place: str, objects: int, size: int, oldest: float | None = None) -> None:
        """Add objects to a place."""
        before = self.counts.get(place, Count())
        ages = [each for each in (before.oldest, oldest) if each is not None]
        self.counts[place] = Count(before.objects + objects, before.bytes + size, max(ages, default=None))


def read_snapshots(path: Path) -> list[Snapshot]:
    """The snapshots in a file, in order.  Raises UsageError, OSError, TraceError if there is none."""
    with opened(path) as file:
        content = file.read(MOST_BYTES).decode(errors="backslashreplace")
        written_s = path.stat().st_mtime
    found = [snapshot for part in _parts(content) if (snapshot := _snapshot(part)) is not None]
    if not found:
        raise TraceError(
            f"{path} is no snapshot that slabtrace knows",
            "It reads slabinfo, allocinfo, alloc_traces and kmemleak.",
        )
    if len(found) == 1 and found[0].time_s is None:
        found[0].time_s = written_s
    return found


def _parts(content: str) -> Iterator[str]:
    """A file may hold several, each behind its header, and a line with the time in front of that."""
    begins = [found.start() for found in _BEGIN.finditer(content)]
    if len(begins) < 2:
        yield content
        return
    edges = [0, *(_with_time(content, begin) for begin in begins[1:]), len(content)]
    for begin, end in pairwise(edges):
        yield content[begin:end]


def _with_time(content: str, begin: int) -> int:
    line = content.rfind("\n", 0, max(begin - 1, 0)) + 1
    return line if _TIME.match(content[line:begin]) else begin


def _snapshot(text: str) -> Snapshot | None:
    for kind, parse in (
        ("kmemleak", _kmemleak),
        ("slabinfo", _slabinfo),
        ("allocinfo", _allocinfo),
        ("alloc_traces", _traces),
    ):
        snapshot = Snapshot(kind, _time(text))
        parse(text, snapshot)
        if snapshot.counts:
            return snapshot
    return None


def _time(text: str) -> float | None:
    found = _TIME.search(text[:4096])
    if found is None:
        return None
    try:
        return float(found[1]) if found[1] else datetime.fromisoformat(found[2]).timestamp()
    except (ValueError, OverflowError):
        return None


def _slabinfo(text: str, snapshot: Snapshot) -> None:
    for name, active, _, size in _SLABINFO.findall(text):
        snapshot.add(name, int(active), int(active) * int(size))


def _allocinfo(text: str, snapshot: Snapshot) -> None:
    for size, calls, place in _ALLOCINFO.findall(text):
        snapshot.add(place, int(calls), int(size))


def _traces(text: str, snapshot: Snapshot) -> None:
    for objects, place, oldest in _ALLOC_TRACE.findall(text):
        snapshot.add(place, int(objects), 0, float(oldest))


def _kmemleak(text: str, snapshot: Snapshot) -> None:
    found = list(_KMEMLEAK.finditer(text))
    for number, each in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        frames = [frame[1] for frame in _FRAME.finditer(text, each.end(), min(end, each.end() + 16_384))]
        place = next((frame for frame in frames if not _ALLOCATOR.match(frame)), "(no stack)")
        snapshot.add(place, 1, int(each[2]), float(each[5]) if each[5] else None)
        snapshot.reported.append(Reported(int(each[1], 16), place, each[3]))
