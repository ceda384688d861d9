# SPDX-License-Identifier: Apache-2.0
"""The processes that live when a part of a series ends, and their cgroups: the next part begins with them.

Bounded by the processes there are, and the cgroups that have not been removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slabtrace.analysis.processes.states import ProcessStates, Row, rows_of
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import CgroupEvent

Columns = dict[str, list[Any]]


class Living:
    """Takes the rows of processes.arrow and cgroups.arrow as they are written."""

    def __init__(self) -> None:
        self._states = ProcessStates()
        self._later: list[Row] = []  # rows from the boundary on, which the next part has too
        self._cgroups: dict[tuple[int, int], tuple[Any, ...]] = {}

    def take(self, table: str, columns: Mapping[str, Sequence[Any]], boundary_ns: int | None) -> None:
        """Rows were written; `boundary_ns`: when the part ends, if that is known already."""
        if table == "processes":
            for row in sorted(map(Row, *(columns[name] for name in schema.PROCESSES.names))):
                if boundary_ns is not None and row.ts_ns >= boundary_ns:
                    self._later.append(row)
                else:
                    self._states.take(row)
        elif table == "cgroups":
            for values in zip(*(columns[name] for name in schema.CGROUPS.names), strict=True):
                key = (values[2], values[3])
                if key in self._cgroups and not values[4]:
                    continue
                self._cgroups[key] = values

    def at_begin(self) -> Iterator[tuple[str, Columns]]:
        """What the next part begins with.  What has ended is forgotten then."""
        yield "cgroups", _columns("cgroups", list(self._cgroups.values()))
        rows = [row for state in self._states.living.values() for row in rows_of(state)]
        yield "processes", _columns("processes", [*rows, *self._later])
        for row in self._later:
            self._states.take(row)
        self._later = []
        event = schema.CGROUPS.names.index("event")
        self._cgroups = {key: row for key, row in self._cgroups.items() if row[event] != CgroupEvent.GONE}


def _columns(table: str, rows: Sequence[Sequence[Any]]) -> Columns:
    return {name: [row[i] for row in rows] for i, name in enumerate(schema.SIDE_TABLES[table].names)}
