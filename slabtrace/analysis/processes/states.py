# SPDX-License-Identifier: Apache-2.0
"""What a process is, as rows of processes.arrow come one after the other.

Example: process 7 runs `sh`, and forks 8, which then executes `ls`; 7 is moved to cgroup 91 meanwhile.

    row                          the state of 8
    FORK 8, parent 7             command `sh`, cgroups of 7: what its parent was
    MOVED 7 to 91                unchanged: a child is moved by itself
    EXEC 8 `ls`                  command `ls`
    EXIT 8                       forgotten; the last state stays true of what it allocated
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from slabtrace.trace.format.schema import ProcessEvent


class State(NamedTuple):
    """Of a process from `since_ns` on; `number`: of the process in this trace, for pids are used again.

    `cgroups`: the cgroup in each hierarchy, {hierarchy: number}.  `parent`: its tgid, and `parent_number`, -1
    if that one is not known.
    """

    number: int
    since_ns: int
    tgid: int
    began_ns: int
    parent: int
    parent_number: int
    exe: str
    command: str
    pid_ns: int
    net_ns: int
    cgroups: dict[int, int]


class Row(NamedTuple):
    """A row of processes.arrow."""

    ts_ns: int
    event: int
    tgid: int
    parent: int
    pid_ns: int
    net_ns: int
    hierarchy: int
    cgroup: int
    exe: str
    command: str


NEW = (ProcessEvent.RUNNING, ProcessEvent.FORK)


def rows_of(state: State) -> Iterator[Row]:
    """Rows that lead to a state, as of a process that was there when a recording began.

    What a process was earlier may lead to the same one: rows with the same begin are of one process.
    """
    place = (state.parent, state.pid_ns, state.net_ns, 0, state.cgroups.get(0, 0))
    if state.since_ns != state.began_ns:
        yield Row(state.began_ns, ProcessEvent.RUNNING, state.tgid, *place[:-1], 0, "", "")
    event = ProcessEvent.RUNNING if state.since_ns == state.began_ns else ProcessEvent.EXEC
    yield Row(state.since_ns, event, state.tgid, *place, state.exe, state.command)
    for hierarchy, cgroup in state.cgroups.items():
        if hierarchy:
            yield Row(state.since_ns, ProcessEvent.MOVED, state.tgid, 0, 0, 0, hierarchy, cgroup, "", "")


class ProcessStates:
    """The states of the processes that live; bounded by their number."""

    def __init__(self) -> None:
        self.living: dict[int, State] = {}
        self.processes = 0

    def take(self, row: Row) -> State | None:
        """The state that a row, the next in time, leads to; None if it only ends one."""
        before = self.living.get(row.tgid)
        if row.event == ProcessEvent.EXIT:
            self.living.pop(row.tgid, None)
            return None
        if row.event == ProcessEvent.MOVED:
            state = before or self._new(row)
            after = state._replace(since_ns=row.ts_ns, cgroups=state.cgroups | {row.hierarchy: row.cgroup})
        else:
            again = row.event == ProcessEvent.RUNNING and before is not None and before.began_ns == row.ts_ns
            state = self._new(row) if before is None or (row.event in NEW and not again) else before
            after = self._placed(state, row)
        self.living[row.tgid] = after
        return after

    def _new(self, row: Row) -> State:
        """A process that begins as a copy of its parent, as far as that is known.

        One that was there when the recording began has rows of its own for all that it is.
        """
        self.processes += 1
        parent = self.living.get(row.parent)
        copied = parent if row.event != ProcessEvent.RUNNING else None
        return State(
            number=self.processes - 1,
            since_ns=row.ts_ns,
            tgid=row.tgid,
            began_ns=row.ts_ns,
            parent=row.parent,
            parent_number=parent.number if parent else -1,
            exe=copied.exe if copied else "",
            command=copied.command if copied else "",
            pid_ns=row.pid_ns,
            net_ns=row.net_ns,
            cgroups=dict(copied.cgroups) if copied else {},
        )

    def _placed(self, state: State, row: Row) -> State:
        """`state` after a row that has its place, and if it executes a file the command."""
        after = state._replace(
            since_ns=row.ts_ns,
            pid_ns=row.pid_ns or state.pid_ns,
            net_ns=row.net_ns or state.net_ns,
            cgroups=state.cgroups | ({row.hierarchy: row.cgroup} if row.cgroup else {}),
        )
        if row.event == ProcessEvent.FORK:
            return after
        return after._replace(exe=row.exe or state.exe, command=row.command or state.command)
