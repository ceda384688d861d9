# SPDX-License-Identifier: Apache-2.0
"""What side tables last said of each task, cache and counter, for the next part of a series to begin with.

Bounded by the tasks, caches and counters there are: a task that has ended is forgotten when a part ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slabtrace.trace.format import schema

KEYS = {"tasks": "tid", "slabinfo": "name", "memory": "counter"}
SAMPLED = ("slabinfo", "memory")
Row = tuple[Any, ...]
Columns = dict[str, list[Any]]


class LastKnown:
    """Rows by task, cache and counter.  `is_there`: whether a task, by its tid, still is."""

    def __init__(self, is_there: Callable[[int], bool] | None = None) -> None:
        self._is_there = is_there or _is_there
        self._rows: dict[str, dict[Any, Row]] = {table: {} for table in KEYS}
        self._since: dict[str, list[Row]] = {table: [] for table in ("tasks", "memory")}  # from the turn on

    def take(self, table: str, columns: Mapping[str, Any], turn_ns: int | None) -> None:
        """Rows were written; `turn_ns`: when the part ends, if that is known already."""
        if table not in KEYS:
            return
        names = schema.SIDE_TABLES[table].names
        key, at = names.index(KEYS[table]), names.index("ts_ns")
        for row in zip(*(_plain(columns[name]) for name in names), strict=True):
            if table in self._since and turn_ns is not None and row[at] >= turn_ns:
                self._since[table].append(row)
            else:
                self._rows[table][row[key]] = row

    def at_end(self, turn_ns: int) -> Iterator[tuple[str, Columns]]:
        """What a part ends with: a whole sample of slabinfo and of memory, as they then stood."""
        for table in SAMPLED:
            yield table, _columns(table, self._at(table, turn_ns))

    def at_begin(self, turn_ns: int) -> Iterator[tuple[str, Columns]]:
        """What the next part begins with: the same samples and what came since, and the names of tasks."""
        yield "slabinfo", _columns("slabinfo", self._at("slabinfo", turn_ns))
        yield "memory", _columns("memory", self._at("memory", turn_ns) + self._since["memory"])
        tasks = self._rows["tasks"]
        yield "tasks", _columns("tasks", sorted([*tasks.values(), *self._since["tasks"]]))
        for table, rows in self._since.items():
            key = schema.SIDE_TABLES[table].names.index(KEYS[table])
            self._rows[table].update({row[key]: row for row in rows})
            rows.clear()
        self._rows["tasks"] = {tid: row for tid, row in tasks.items() if self._is_there(tid)}

    def _at(self, table: str, ts_ns: int) -> list[Row]:
        at = schema.SIDE_TABLES[table].names.index("ts_ns")
        return [(*row[:at], ts_ns, *row[at + 1 :]) for row in self._rows[table].values()]


def _columns(table: str, rows: list[Row]) -> Columns:
    names = schema.SIDE_TABLES[table].names
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _plain(values: Any) -> list[Any]:
    found: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return found


def _is_there(tid: int) -> bool:
    return tid == 0 or os.path.exists(f"/proc/{tid}")  # noqa: PTH110 - of many, quickly
