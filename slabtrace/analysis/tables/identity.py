# SPDX-License-Identifier: Apache-2.0
"""Which processes allocated: their commands, parents, cgroups, and whether they still live.

Lists are ordered by objects, most first, and bounded: a finding can be of a hundred thousand processes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.names.tasks import UNKNOWN_TGID, Tasks
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.processes.cgroup_names import cgroup_name
from slabtrace.analysis.processes.processes import NOT_ENDED, Processes
from slabtrace.trace.format.batch import EventBatch

MOST = 20  # texts of each kind
TEXTS = ("commands", "parents", "cgroups", "units", "containers")
Row = dict[str, dict[str, None]]


class Identities:
    """Who allocated n live objects, in groups."""

    def __init__(self, live: EventBatch, tasks: Tasks, processes: Processes) -> None:
        self._processes = processes
        self._tgid = np.append(tasks.tgid, UNKNOWN_TGID)[tasks.rows(live.tid, live.ts_ns)].astype(np.int64)
        self._state = processes.rows(self._tgid, live.ts_ns)
        self._named: dict[int, dict[str, str]] = {}

    def columns(self, member: Positions, rows: Positions) -> dict[str, Any]:
        """The columns TEXTS, `processes` and `alive` of the groups in `rows`; `member`, shape (n,)."""
        number = np.array([each.number for each in self._processes.states], np.int64)
        known = self._state >= 0
        process = np.where(known, np.append(number, -1)[self._state], -2 - self._tgid)
        held = pd.DataFrame({"group": member, "process": process, "state": self._state})
        at = {group: place for place, group in enumerate(rows.tolist())}
        texts: list[Row] = [{name: {} for name in TEXTS} for _ in at]
        counted = held[["group", "state"]].value_counts()
        for group, state in counted.index.tolist():
            if group in at and state >= 0:
                _add(texts[at[group]], self._names(state))
        pairs = held[["group", "process"]].drop_duplicates()
        living = np.array([*(ended == NOT_ENDED for ended in self._processes.ended_ns), False])
        pairs = pairs.assign(alive=living[np.maximum(pairs["process"].to_numpy(), -1)])
        summed = pairs.groupby("group").agg(processes=("process", "size"), alive=("alive", "sum"))
        summed = summed.reindex(rows, fill_value=0)
        alive = pd.array(summed["alive"].to_numpy() if len(number) else [None] * len(rows), "Int64")
        made: dict[str, Any] = {
            name: pd.Series([list(each[name]) for each in texts], dtype=object) for name in TEXTS
        }
        return made | {"processes": summed["processes"].to_numpy(np.int64), "alive": alive}

    def _names(self, state: int) -> dict[str, str]:
        if state not in self._named:
            self._named[state] = _names(self._processes, state)
        return self._named[state]


def _names(processes: Processes, number: int) -> dict[str, str]:
    """The texts of a state; empty where they are not known."""
    state = processes.states[number]
    path = processes.path(state)
    name = cgroup_name(path)
    parent = processes.rows(_one(state.parent), _one(state.began_ns)) if state.parent else _one(-1)
    return {
        "commands": state.command,
        "parents": processes.states[int(parent[0])].command if parent[0] >= 0 else "",
        "cgroups": path,
        "units": name.unit,
        "containers": name.container,
    }


def _add(row: Row, names: dict[str, str]) -> None:
    for name, text in names.items():
        if text and len(row[name]) < MOST:
            row[name].setdefault(text)


def _one(number: int) -> NDArray[np.int64]:
    return np.array([number], np.int64)
