# SPDX-License-Identifier: Apache-2.0
"""What a part of a series begins with: the processes that live, and their cgroups."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from slabtrace.analysis.processes.processes import Processes
from slabtrace.analysis.processes.states import Row
from slabtrace.series.living import Living
from slabtrace.trace.format.schema import CGROUPS, PROCESSES, CgroupEvent, ProcessEvent

S = 1_000_000_000


def take(living: Living, rows: list[Row], boundary_ns: int | None = None) -> None:
    columns = {
        name: list(values) for name, values in zip(PROCESSES.names, zip(*rows, strict=True), strict=True)
    }
    living.take("processes", columns, boundary_ns)


def seen(living: Living, number: int, event: int, path: str) -> None:
    row = {"ts_ns": 1, "event": event, "hierarchy": 0, "cgroup": number, "path": path, "controllers": ""}
    living.take("cgroups", {name: [row[name]] for name in CGROUPS.names}, None)


def row(ts_ns: int, event: int, tgid: int, command: str = "") -> Row:
    return Row(ts_ns, event, tgid, 1, 0, 0, 0, 90, command, command)


def begun(living: Living) -> tuple[Processes, list[str]]:
    tables: dict[str, dict[str, list[Any]]] = dict(living.at_begin())
    cgroups = pa.table(tables["cgroups"], CGROUPS)
    return Processes(pa.table(tables["processes"], PROCESSES), cgroups), tables["cgroups"]["path"]


def test_the_next_part_knows_who_lives() -> None:
    living = Living()
    take(living, [row(1, ProcessEvent.RUNNING, 7, "sh"), row(2, ProcessEvent.FORK, 8)])
    take(living, [row(3, ProcessEvent.EXEC, 8, "ls"), row(4, ProcessEvent.EXIT, 7)])
    take(living, [row(6, ProcessEvent.EXIT, 8), row(5, ProcessEvent.FORK, 9)], boundary_ns=5)
    found, _ = begun(living)
    assert {(each.tgid, each.command, each.began_ns) for each in found.states if each.tgid == 8} >= {
        (8, "ls", 2)
    }
    assert {each.tgid for each in found.states} == {8, 9}
    found, _ = begun(living)
    assert {each.tgid for each in found.states} == {9}  # 8 ended after the boundary: in the next part


def test_a_cgroup_is_named_once_more_after_it_is_gone() -> None:
    living = Living()
    for number, path in ((5, "/a"), (6, "/b")):
        seen(living, number, CgroupEvent.MADE, path)
    seen(living, 5, CgroupEvent.GONE, "/a")
    assert begun(living)[1] == ["/a", "/b"]
    assert begun(living)[1] == ["/b"]
