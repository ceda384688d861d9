# SPDX-License-Identifier: Apache-2.0
"""What `record` says at once about wrong frees, with a session that only has counters."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from slabtrace.cli.watch import Watch
from slabtrace.trace.manifest import Coverage, Host, Manifest, Unattached
from tests.unit.synthetic import alloc, free, intern

OBJECT = 0xFFFF888000126000


def said(misses: dict[str, int], coverage: Coverage) -> list[str]:
    """The lines about a double free, before which the kernel had skipped each program so often."""
    lines: list[str] = []
    session: Any = SimpleNamespace(
        caches=SimpleNamespace(all=list, at=lambda cache: None),
        pids=SimpleNamespace(comm=lambda tid: ""),
        kallsyms=SimpleNamespace(resolve=lambda address: None),
        programs=SimpleNamespace(recursion_misses=lambda: misses),
    )
    watch = Watch(session, Manifest(host=Host(page_size=4096), coverage=coverage), lines.append)
    batch, sites = intern([alloc(1, OBJECT), free(2, OBJECT), free(3, OBJECT, call_site=0x333, tid=0)])
    watch.sites(sites)
    now = time.monotonic_ns() - int(batch.ts_ns.max())
    watch.events(batch._replace(ts_ns=batch.ts_ns + now))
    return lines


@pytest.mark.parametrize(
    ("misses", "lines"),
    [
        ({"kmalloc": 0, "kmalloc_twin": 0}, 1),
        ({"kmalloc": 9, "kmalloc_twin": 0}, 1),  # its twin recorded them
        ({"kmalloc": 9, "kmalloc_twin": 1}, 0),
        ({"kmalloc": 1}, 0),  # it has no twin
        ({"on_kmem_cache_alloc_bulk": 1}, 0),
        ({"mm_page_free": 9, "task_rename": 1}, 1),  # they record no object
    ],
)
def test_a_double_free_is_reported_if_no_event_was_skipped(misses: dict[str, int], lines: int) -> None:
    found = said(misses, Coverage())
    assert len(found) == lines
    assert all("apparent double-free of 0xffff888000126000" in line for line in found)


def test_no_double_free_is_reported_where_allocations_are_not_traced() -> None:
    assert said({}, Coverage(unattached=[Unattached("kmalloc_nolock", "refused")])) == []
