# SPDX-License-Identifier: Apache-2.0
"""Writes events as a series that is cut at given times, each part carried into the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import slabtrace
from slabtrace.api import Trace
from slabtrace.series.carry import carry
from slabtrace.series.parts import Rotation, parts_of
from slabtrace.series.series import Carry, Series
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import COMPLETE, Coverage, Manifest
from tests.unit.synthetic import START, Event, intern

CACHES = {0xC0: "kmalloc-64", 0xC1: "kmalloc-128"}
TASKS = {7: "seven", 9: "nine"}


def write_series(
    name: Path,
    events: Sequence[Event],
    cuts: Sequence[int],
    end: int,
    carrying: Carry = carry,
    coverage: Coverage | None = None,
) -> list[Path]:
    """The parts of a series of `events` (in time order) that ends parts at `cuts`, and itself at `end`.

    Times are ns since START.
    """
    batch, sites = intern(events)
    attached = coverage or Coverage(attached=["kmalloc", "kfree"])
    manifest = Manifest(started_ns=START, coverage=attached)
    made = Series(name, manifest, Rotation(ns=1), carry=carrying)
    made.rows("sites", {"site": np.arange(len(sites["kind"]), dtype=np.uint32), **sites})
    made.rows("caches", caches())
    tids = list(TASKS)
    made.rows("tasks", {"ts_ns": [0, 0], "tid": tids, "tgid": tids, "comm": list(TASKS.values())})
    for cut, following in zip([0, *cuts], [*cuts, end], strict=True):
        if cut:
            made.rows("slabinfo", slabinfo(START + cut))
        made.events(between(batch, START + cut, START + following))
        made.manifest.totals.events += 1
        made.save_manifest()
    made.manifest.ended_ns = START + end
    made.close(COMPLETE)
    return parts_of(name)


def last_of(name: Path, events: Sequence[Event], cuts: Sequence[int], end: int, **more: Any) -> Trace:
    """The last part of such a series, opened."""
    return slabtrace.open(write_series(name, events, cuts, end, **more)[-1])


def caches() -> dict[str, Any]:
    number = len(CACHES)
    each = {"aliases": [], "object_size": 64, "size": 64, "slab_flags": 0, "order": 0}
    each |= {"objects_per_slab": 64, "reclaimable": False, "first_seen_ns": START}
    columns = {key: [value] * number for key, value in each.items()}
    return {"cache": list(CACHES), "name": list(CACHES.values()), **columns}


def slabinfo(ts_ns: int) -> dict[str, Any]:
    each = {"active_objs": 9, "num_objs": 64, "objsize": 64, "objperslab": 64, "pagesperslab": 1}
    return {"ts_ns": [ts_ns], "name": ["other"], "num_slabs": [1], **{k: [v] for k, v in each.items()}}


def between(batch: EventBatch, begin_ns: int, end_ns: int) -> EventBatch:
    first, last = np.searchsorted(batch.ts_ns, [begin_ns, end_ns])
    return batch.take(slice(int(first), int(last)))
