# SPDX-License-Identifier: Apache-2.0
"""The first rows of processes.arrow and cgroups.arrow: what there is when the recording begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from slabtrace.capture.process.running import (
    DEFAULT,
    Hierarchy,
    RunningProcess,
    cgroup_number,
    hierarchies,
    running_processes,
)
from slabtrace.capture.storing.storing import Storing
from slabtrace.capture.stream.processes import command_line
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import CgroupEvent, ProcessEvent

Row = dict[str, Any]
NOTHING: Row = {
    "parent": 0,
    "pid_ns": 0,
    "net_ns": 0,
    "hierarchy": DEFAULT,
    "cgroup": 0,
    "exe": "",
    "command": "",
}


def store_running(store: Storing, started_ns: int, of_events: Callable[[int], int | None] = int) -> None:
    """Store every process and the cgroups they are in; `started_ns`: when the recording began.

    `of_events`: the number that events have for a process; those that have none are left out.
    It takes the privileges of the calling thread to see the files of processes of others.
    """
    mounted: dict[int, Hierarchy] = {}
    with suppress(OSError, ValueError):  # what is not known of cgroups is left out
        mounted.update({each.number: each for each in hierarchies()})
    numbers: dict[tuple[int, str], int] = {}
    rows: list[Row] = []
    for process in running_processes():
        if (tgid := of_events(process.tgid)) is None:
            continue
        process = process._replace(tgid=tgid, parent=of_events(process.parent) or 0)
        for each in process.cgroups:
            if each not in numbers:
                numbers[each] = cgroup_number(mounted[each[0]], each[1]) if each[0] in mounted else 0
        rows += _of_process(process, numbers)
    cgroups = [
        _of_cgroup(mounted.get(each[0]), *each, number, started_ns) for each, number in numbers.items()
    ]
    for table, found in (("processes", rows), ("cgroups", [each for each in cgroups if each["cgroup"]])):
        names = schema.SIDE_TABLES[table].names
        store.rows(table, {name: [row[name] for row in found] for name in names})


def _of_process(process: RunningProcess, numbers: dict[tuple[int, str], int]) -> list[Row]:
    """A row for the process, and one for each cgroup of version 1 it was put into."""
    begin: Row = NOTHING | {"ts_ns": process.started_ns, "tgid": process.tgid}
    first = begin | {
        "event": ProcessEvent.RUNNING,
        "parent": process.parent,
        "pid_ns": process.pid_ns,
        "net_ns": process.net_ns,
        "exe": process.exe,
        "command": command_line(process.args),
    }
    rows = [first]
    for hierarchy, path in process.cgroups:
        place = {"hierarchy": hierarchy, "cgroup": numbers[hierarchy, path]}
        if hierarchy == DEFAULT:
            first.update(place)
        elif path != "/":
            rows.append(begin | place | {"event": ProcessEvent.MOVED})
    return rows


def _of_cgroup(hierarchy: Hierarchy | None, number: int, path: str, cgroup: int, ts_ns: int) -> Row:
    controllers = hierarchy.controllers if hierarchy else ""
    return {
        "ts_ns": ts_ns, "event": CgroupEvent.SEEN, "hierarchy": number, "cgroup": cgroup, "path": path,
        "controllers": controllers,
    }  # fmt: skip
