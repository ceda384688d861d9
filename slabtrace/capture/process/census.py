# SPDX-License-Identifier: Apache-2.0
"""Which processes began while recording and are there at its end: what they hold goes when they end.

/proc/PID/stat (fs/proc/array.c: do_task_stat): the name in brackets may hold anything, so fields count from
the last bracket.  The state is the first of them; the start, in ticks of CLOCK_BOOTTIME, the 20th.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from slabtrace.trace.manifest import Processes

PROC = Path("/proc")
MOST = 10_000  # processes of each kind that are named
STATE, PARENT, START = 0, 1, 19  # fields after the name
ZOMBIE = ("Z", "X")  # ended; all that is left is what its parent has not collected


def processes_since(
    started_ns: int, proc: Path = PROC, of_events: Callable[[int], int | None] = int
) -> Processes | None:
    """The processes that began at `started_ns` (CLOCK_MONOTONIC) or later, and are still there.

    `of_events`: the number that events have for a process of this /proc.  None where those of others may not
    be seen: /proc is mounted with hidepid (proc(5)).
    """
    if not os.access(proc / "1/stat", os.R_OK):
        return None
    suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    since = (started_ns + suspended_ns) * os.sysconf("SC_CLK_TCK") // 1_000_000_000
    running, ended, parents = [], [], []
    for pid, fields in stats(proc):
        if int(fields[START]) < since:
            continue
        if fields[STATE] in ZOMBIE:
            ended.append(pid)
            parents.append(int(fields[PARENT]))
        else:
            running.append(pid)
    return Processes(*(_translated(each, of_events)[:MOST] for each in (running, ended, parents)))


def _translated(pids: list[int], of_events: Callable[[int], int | None]) -> list[int]:
    return sorted({number for pid in pids if (number := of_events(pid)) is not None})


def descendants(tgid: int, proc: Path = PROC) -> set[int]:
    """A process and all that it, or one of these, has started, as far as their parents still live."""
    children: dict[int, list[int]] = {}
    for pid, fields in stats(proc):
        children.setdefault(int(fields[PARENT]), []).append(pid)
    found, left = set[int](), [tgid]
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found


def stats(proc: Path) -> Iterator[tuple[int, list[str]]]:
    """(pid, fields after the name) of every process that can be read."""
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError, ValueError):  # it has ended meanwhile
            text = (folder / "stat").read_text(errors="replace")
            fields = text.rpartition(")")[2].split()
            if len(fields) > START:
                yield int(folder.name), fields
