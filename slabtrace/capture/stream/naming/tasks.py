# SPDX-License-Identifier: Apache-2.0
"""Names of the tasks that exist when the recording starts, from /proc.

The programs in bpf/task.h record tasks that start, or change their name, later.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slabtrace.capture.stream.intake import TaskName

PROC = Path("/proc")


def running_tasks(ts_ns: int) -> Iterator[TaskName]:
    """Every thread of every process, as a name at `ts_ns` (ns).  Threads that end meanwhile are left out."""
    yield TaskName(ts_ns, 0, 0, "swapper")  # the idle task of each CPU, which /proc does not show
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            yield from _threads(ts_ns, int(entry.name))


def _threads(ts_ns: int, tgid: int) -> Iterator[TaskName]:
    try:
        for entry in (PROC / str(tgid) / "task").iterdir():
            comm = read_comm(int(entry.name))
            if comm is not None:
                yield TaskName(ts_ns, int(entry.name), tgid, comm)
    except OSError:
        return  # gone


def read_comm(tid: int) -> str | None:
    """The name of a task, or None if it is gone.  Hostile text: escape it before showing it."""
    try:
        raw = (PROC / str(tid) / "comm").read_bytes()
    except OSError:
        return None
    return raw.removesuffix(b"\n").decode(errors="backslashreplace")
