# SPDX-License-Identifier: Apache-2.0
"""Who a process was at a time: command, parent, namespaces, cgroups; found by (tgid, time).

The rows of processes.arrow are folded in the order of time (states.py); each leads to a state that
holds until the next one of the same tgid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.processes.states import NEW, ProcessStates, Row, State
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import CGROUPS, PROCESSES, CgroupEvent

Positions = NDArray[np.intp]
NOT_ENDED = -1
ROOT = "/"
MEMORY = "memory"  # the controller
DEFAULT = 0  # the hierarchy of cgroup2
_CHOICE = ("", "name=systemd", MEMORY)  # of the hierarchies, where a process may be in several cgroups


class Cgroups:
    """The cgroups of a trace, by (hierarchy, number)."""

    def __init__(self, table: pa.Table) -> None:
        self.path: dict[tuple[int, int], str] = {}
        self.gone_ns: dict[tuple[int, int], int] = {}
        self.controllers: dict[int, str] = {}
        for row in table.to_pylist():
            key = (row["hierarchy"], row["cgroup"])
            if row["path"]:
                self.path.setdefault(key, row["path"])
            if row["controllers"]:
                self.controllers[row["hierarchy"]] = row["controllers"]
            if row["event"] == CgroupEvent.GONE:
                self.gone_ns[key] = row["ts_ns"]

    def text(self, key: tuple[int, int]) -> str:
        """The path of a cgroup, else its number.  Hostile text: escape it."""
        return self.path.get(key) or f"cgroup {key[1]}"

    @property
    def memory_hierarchy(self) -> int | None:
        """The one that has the controller "memory": of version 1, else that of cgroup2; None: not known."""
        of_version_1 = (
            each for each, names in self.controllers.items() if each and MEMORY in names.split(",")
        )
        hierarchies = {hierarchy for hierarchy, _ in self.path}
        return next(of_version_1, DEFAULT if DEFAULT in hierarchies else None)

    def root(self, hierarchy: int) -> int:
        """The number of the root of a hierarchy, where processes are unless they were moved; 0: not known."""
        return next((key[1] for key, path in self.path.items() if key[0] == hierarchy and path == ROOT), 0)

    def chosen(self, cgroups: dict[int, int]) -> tuple[int, int] | None:
        """Of the cgroups {hierarchy: number} of a process the one that says most; None if none is known.

        That is the one in cgroup2 if it is not the root there, then that of systemd, of memory, any other.
        """
        known = [key for key in cgroups.items() if key in self.path]
        inner = [key for key in known if self.path[key] != ROOT]
        return min(inner or known, key=self._rank, default=None)

    def matching(self, globs: Sequence[str]) -> set[tuple[int, int]]:
        """Those whose path, or that of a cgroup above them, matches one of the shell patterns."""
        return {key for key, path in self.path.items() if path_matches(path, globs)}

    def _rank(self, key: tuple[int, int]) -> tuple[int, int]:
        controllers = self.controllers.get(key[0], "") if key[0] else ""
        at = (
            _CHOICE.index(controllers)
            if controllers in _CHOICE and (controllers or not key[0])
            else len(_CHOICE)
        )
        return at, key[0]


class Processes:
    """The states of all processes of a trace.

    `ended_ns`, by the number of a process: when it ended, NOT_ENDED if it lived at the end.
    """

    def __init__(self, processes: pa.Table, cgroups: pa.Table) -> None:
        self.cgroups = Cgroups(cgroups)
        self.states: list[State] = []
        self.ended_ns: list[int] = []
        states = ProcessStates()
        for row in _in_order(processes):
            before, state = states.living.get(row.tgid), states.take(row)
            if before is not None and (state is None or state.number != before.number):
                self.ended_ns[before.number] = row.ts_ns
            if state is not None:
                self.states.append(state)
                if state.number == len(self.ended_ns):
                    self.ended_ns.append(NOT_ENDED)

    @cached_property
    def _sorted(self) -> tuple[Positions, NDArray[np.int64], NDArray[np.int64]]:
        tgid = np.array([each.tgid for each in self.states], np.int64)
        ts_ns = np.array([each.since_ns for each in self.states], np.int64)
        order = np.lexsort((ts_ns, tgid))
        return order, tgid[order], ts_ns[order]

    def rows(self, tgid: NDArray[np.int64], ts_ns: NDArray[np.int64]) -> Positions:
        """The state that held at each (tgid, time), an index of `states`, -1 if there is none: shape (n,).

        Before the first state of a tgid, that first one holds.
        """
        order, known, since = self._sorted
        found = np.full(len(tgid), -1, np.intp)
        if not len(order):
            return found
        first, last = (np.searchsorted(known, tgid, side) for side in ("left", "right"))
        times, at = np.unique(np.concatenate([since, ts_ns]), return_inverse=True)
        number = np.int64(len(times) + 1)
        key = known * number + at[: len(since)]
        row = np.searchsorted(key, tgid * number + at[len(since) :], side="right") - 1
        row = np.clip(row, first, last - 1)
        there = last > first
        found[there] = order[row[there]]
        return found

    def running_since(self, ts_ns: int) -> frozenset[int]:
        """The tgids of the processes that began then or later, and lived at the end."""
        return frozenset(
            each.tgid
            for each in self.states
            if each.began_ns >= ts_ns and self.ended_ns[each.number] == NOT_ENDED
        )

    def path(self, state: State) -> str:
        """The path of the cgroup that says most of a process; empty if none is known."""
        key = self.cgroups.chosen(state.cgroups)
        return self.cgroups.path[key] if key else ""


def path_matches(path: str, globs: Sequence[str]) -> bool:
    """Whether one of the shell patterns matches the path, or that of a cgroup above; `*` matches `/`, too.

    Example: "/system.slice/cron.service/x" is matched by "/system.slice", "*.service" and "/*/x".
    """
    return any(fnmatchcase(each, glob) for each in _upwards(path) for glob in globs)


def _upwards(path: str) -> Iterator[str]:
    """The path and those above it: "/a/b", "/a", "/"."""
    while path not in ("", ROOT):
        yield path
        path = path.rpartition("/")[0]
    yield ROOT


def no_processes() -> Processes:
    """Of a recording that has none."""
    return Processes(PROCESSES.empty_table(), CGROUPS.empty_table())


def _in_order(table: pa.Table) -> Iterable[Row]:
    """The rows by time; of several at one time, those that begin a process first."""
    event, ts_ns = (plain(table.column(name)) for name in ("event", "ts_ns"))
    order = np.lexsort((~np.isin(event, NEW), ts_ns))
    columns = [table.column(name).take(pa.array(order)).to_pylist() for name in PROCESSES.names]
    return map(Row, *columns)
