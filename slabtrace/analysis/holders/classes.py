# SPDX-License-Identifier: Apache-2.0
"""Held, cached, lost or unknown: what follows from what was read of an object and its holders.

in use, searched   held                    references     class
yes                PROCESS                 any            process
yes                OWNER, NAMED, POINTER   0, a dentry    cached
yes                OWNER, NAMED, POINTER   else           kernel
yes, everything    NOTHING                 any            lost
yes, not all       NOTHING                 any            unknown
yes                LISTED, UNREAD          any            unknown
no                                                        gone
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from slabtrace.trace.format.schema import Held

PROCESS, KERNEL, CACHED, LOST, UNKNOWN, GONE = "process", "kernel", "cached", "lost", "unknown", "gone"
CACHEABLE = ("dentry", "inode")


def class_of(in_use: bool, kind: str, references: int | None, held: int, whole: bool) -> str:
    """One of process, kernel, cached, lost, unknown, gone.  `whole`: was all searched that was to be?"""
    if not in_use:
        return GONE
    if held == Held.PROCESS:
        return PROCESS
    if kind in CACHEABLE and references == 0:
        return CACHED
    if Held.POINTER <= held <= Held.OWNER:
        return KERNEL
    return LOST if held == Held.NOTHING and whole else UNKNOWN


def searched_words(searched: dict[str, int]) -> str:
    """Where was searched, as "197 MiB of slabs, 4 MiB of kernel data, …"; sizes in bytes."""
    parts = [f"{_mib(searched[kind])} of {name}" for kind, name in _AREAS.items() if searched.get(kind)]
    return ", ".join(parts) or "nothing"


_AREAS = {
    "slab": "slabs", "data": "kernel data", "percpu": "per-CPU data", "kmalloc": "large kmallocs",
    "vmalloc": "vmalloc areas", "stack": "kernel stacks", "page": "struct pages",
    "kfence": "KFENCE", "other": "other kernel pages",
}  # fmt: skip


def _mib(number: int) -> str:
    return f"{number / (1 << 20):.0f} MiB" if number >= 1 << 20 else f"{number / 1024:.0f} KiB"


WORDS = {
    PROCESS: "held by a process", KERNEL: "held by the kernel", CACHED: "cached: the kernel may give it up",
    LOST: "lost: nothing that was searched points at it", UNKNOWN: "not known who holds it",
    GONE: "free by then",
}  # fmt: skip
_MOST_LINES, _LONGEST = 3, 100


def summary(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Lines for some inspected objects (rows of columns.OBJECTS), the most frequent first.

    As "211 × file, held by a process: in the receive queue of …; fd 4 of nginx (pid 812); one is /tmp/x".
    """
    groups: dict[tuple[str, ...], list[Mapping[Any, Any]]] = {}
    for row in rows:
        holders = list(row["holders"])
        ends = [] if row["held"] in (LOST, GONE) or not holders else [holders[0], holders[-1]]
        key = str(row["held"]), str(row["kind"]) or str(row["cache"]), *(without_names(str(x)) for x in ends)
        groups.setdefault(key, []).append(row)
    ordered = sorted(groups.items(), key=lambda each: -len(each[1]))
    lines = [_line(key[0], key[1], some) for key, some in ordered[:_MOST_LINES]]
    rest = sum(len(some) for _, some in ordered[_MOST_LINES:])
    return lines + ([f"{rest} others, held in {len(ordered) - _MOST_LINES} other ways"] if rest else [])


def _line(held: str, kind: str, some: Sequence[Mapping[Any, Any]]) -> str:
    first = some[0]
    chain = " ← ".join(str(each) for each in first["holders"])
    words = WORDS.get(held, held) + (f": {chain}" if chain and held not in (LOST, GONE) else "")
    example = f"; one is {first['description']}" if first["description"] else ""
    return f"{len(some)} × {kind}, {words}{example}"


def without_names(holder: str) -> str:
    """A holder without what differs from one object to the next: paths, and numbers but that of a process."""
    if (process := re.match(r"fd \d+ of (.*)", holder)) is not None:
        return process[1]
    short = re.sub(r"(?<=[ \[:+])(?<!pid )(0x[0-9a-f]+|\d+)", "…", holder.partition(" /")[0])
    return short if len(short) <= _LONGEST else short[: _LONGEST - 1] + "…"
