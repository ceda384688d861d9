# SPDX-License-Identifier: Apache-2.0
"""To which memory cgroups the objects of findings are charged, and in which ones the tasks were.

Both are cgroups of the same hierarchy, that of the controller "memory".  Lists have most objects first, and
are bounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.names.tasks import UNKNOWN_TGID
from slabtrace.analysis.pairing.charges import NOT_KNOWN
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.processes.processes import Processes
from slabtrace.analysis.tables.identity import MOST
from slabtrace.trace.format.batch import EventBatch

Charged = dict[str, Any]


def charged(live: EventBatch, member: Positions, rows: int, lookup: Lookup) -> list[list[Charged]]:
    """The column `charged` of FINDINGS; `member`: the row of each live object, shape (n,)."""
    charges, tasks = lookup.charges, lookup.tasks
    found: list[dict[int, Charged]] = [{} for _ in range(rows)]
    if not len(charges):
        return [[] for _ in found]
    tgid = np.append(tasks.tgid, UNKNOWN_TGID)[tasks.rows(live.tid, live.ts_ns)].astype(np.int64)
    state, places = lookup.processes.rows(tgid, live.ts_ns), _MemoryCgroups(lookup.processes)
    held = pd.DataFrame({"row": member, "to": charges.of(live), "state": state})
    counted = held[(held["to"] != NOT_KNOWN) & (held["row"] >= 0)].value_counts()
    for (row, to, at), objects in zip(counted.index.tolist(), counted.tolist(), strict=True):
        number = charges.cgroups[to][1]
        new = {"cgroup": charges.text(to), "number": number, "objects": 0, "tasks": {}}
        entry = found[row].setdefault(to, new)
        entry["objects"] += objects
        if path := places.of(at):
            entry["tasks"].setdefault(path)
    return [_listed(each) for each in found]


class _MemoryCgroups:
    """In which memory cgroups processes were."""

    def __init__(self, processes: Processes) -> None:
        self._processes, self._hierarchy = processes, processes.cgroups.memory_hierarchy
        self._root = 0 if self._hierarchy is None else processes.cgroups.root(self._hierarchy)

    def of(self, state: int) -> str:
        """The path of that of a process in this state; empty if it is not known."""
        if state < 0 or self._hierarchy is None:
            return ""
        number = self._processes.states[state].cgroups.get(self._hierarchy, self._root)
        return self._processes.cgroups.text((self._hierarchy, number)) if number else ""


def _listed(entries: dict[int, Charged]) -> list[Charged]:
    ordered = sorted(entries.values(), key=lambda each: -int(each["objects"]))
    return [each | {"tasks": list(each["tasks"])[:MOST]} for each in ordered[:MOST]]
