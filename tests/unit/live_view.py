# SPDX-License-Identifier: Apache-2.0
"""A live view that gets sites, side tables and batches in the order in which the recorder passes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slabtrace.analysis.live.trace import LiveTrace
from slabtrace.trace.format import schema
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import START, Event, alloc, free, intern

SECOND = 10**9
HOSTILE = "evil\x1b[2J[red]<b>"


def cache(address: int, name: str, **fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(schema.CACHES.names, 0) | {"slab_flags": 0, "aliases": [], "reclaimable": False}
    return row | {"cache": address, "name": name, "size": 64, **fields}


def symbol(address: int, name: str, offset: int = 1, module: str = "") -> dict[str, Any]:
    return {"address": address, "name": name, "offset": offset, "module": module, "since_ns": 0}


def task(tid: int, tgid: int, comm: str) -> dict[str, Any]:
    return {"ts_ns": 0, "tid": tid, "tgid": tgid, "comm": comm}


TABLES = {
    "caches": [cache(0xC0, "kmalloc-64"), cache(0xD0, HOSTILE)],
    "symbols": [symbol(0x100, "load_msg", 1, "ipc"), symbol(0x900, "do_syscall_64", 2)],
    "stacks": [{"stack_id": 5, "frames": [0x100, 0x900]}],
    "tasks": [task(7, 70, "leaky"), task(9, 90, "slabtrace")],
}


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The rows as the recorder passes them."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def watched(
    parts: Sequence[Sequence[Event]],
    manifest: Manifest | None = None,
    tables: dict[str, list[dict[str, Any]]] | None = None,
    every: int = 1,
) -> LiveTrace:
    """A live view that gets `parts` of events, one a second, with a snapshot at the end of `every` part."""
    live = LiveTrace(manifest or Manifest())
    live.manifest.started_ns = START
    for name, rows in (TABLES | (tables or {})).items():
        live.rows(name, columns(rows))
    batch, sites = intern([event for part in parts for event in part])
    live.rows("sites", {name: list(column) for name, column in sites.items()})
    at = 0
    for number, part in enumerate(parts, 1):
        if part:
            live.events(batch.take(slice(at, at + len(part))))
        at += len(part)
        if number % every == 0:
            live.snapshot(START + number * SECOND)
    return live


def growing(moments: int) -> list[list[Event]]:
    """Each second 3 objects of 64 bytes stay, and 2 others are allocated and freed."""
    parts = []
    for second in range(moments):
        ts = second * SECOND
        kept = [alloc(ts + i, 0x10000 * (second + 1) + 64 * i, stack_id=5) for i in range(3)]
        gone = [alloc(ts + 10 + i, 0x900000 + 64 * i, cache=0xD0, call_site=0x300) for i in range(2)]
        parts.append([*kept, *gone, *(free(ts + 20 + i, 0x900000 + 64 * i, cache=0xD0) for i in range(2))])
    return parts
