# SPDX-License-Identifier: Apache-2.0
"""Blocks of pages become an event for each page, on their way from the rings to columns."""

from __future__ import annotations

import numpy as np

from slabtrace.capture.programs.layout import event_dtype
from slabtrace.capture.stream.intake import CAPACITY, Intake
from slabtrace.capture.stream.page_blocks import pages_of
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.format.schema import PAGES_OF_ORDER, Kind

PAGE = 4096


def slots(*events: tuple[int, int, int, int]) -> np.ndarray:
    """Slots (n, 8) of (ts_ns, ptr, kind, cache)."""
    found = np.zeros(len(events), event_dtype())
    for name, column in zip(("ts_ns", "ptr", "kind", "cache"), zip(*events, strict=True), strict=True):
        found[name] = column
    found["bytes_req"] = found["bytes_alloc"] = PAGE
    return found.view(np.uint64).reshape(-1, 8)


def test_a_block_is_so_many_pages_at_their_addresses() -> None:
    made = pages_of(
        slots(
            (1, 0x8000, Kind.PAGES_ALLOC, PAGES_OF_ORDER + 2),
            (2, 0x700040, Kind.KMALLOC, 0xFFFF888100000C40),
            (3, 0x20000, Kind.PAGES_ALLOC, PAGES_OF_ORDER),
            (4, 0x9000, Kind.PAGES_FREE, PAGES_OF_ORDER + 1),
        )
    )
    assert made is not None
    assert made.rows[:, 1].tolist() == [0x8000, 0x9000, 0xA000, 0xB000, 0x700040, 0x20000, 0x9000, 0xA000]
    assert made.of.tolist() == [0, 0, 0, 0, 1, 2, 3, 3]
    assert made.rows[:, 0].tolist() == [1, 1, 1, 1, 2, 3, 4, 4]


def test_without_blocks_nothing_is_copied() -> None:
    assert pages_of(slots((1, 0x8000, Kind.PAGES_ALLOC, PAGES_OF_ORDER), (2, 1, Kind.KMALLOC, 0))) is None


def test_the_intake_has_an_event_for_each_page_and_one_site() -> None:
    intake = Intake(SiteTable(), pages=True)
    intake.accept(slots((1, 0x8000, Kind.PAGES_ALLOC, PAGES_OF_ORDER + 3), (2, 0x40, Kind.KMALLOC, 0)), 1)
    batch = intake.take()
    assert batch.ptr.tolist() == [0x8000 + i * PAGE for i in range(8)] + [0x40]
    assert batch.site.tolist() == [0] * 8 + [1]
    assert batch.ts_ns.tolist() == [1] * 8 + [2]
    assert set(batch.cpu.tolist()) == {1}


def test_more_pages_than_a_batch_has_room_for_are_all_kept() -> None:
    """200 blocks of 1,024 pages: 204,800 events from 200 slots."""
    intake = Intake(SiteTable(), pages=True)
    blocks = [(i, i << 24, Kind.PAGES_ALLOC, PAGES_OF_ORDER + 10) for i in range(200)]
    intake.accept(slots(*blocks), 0)
    assert intake.room == 0
    batch = intake.take()
    assert batch.size == 200 * 1024 > CAPACITY
    assert len(np.unique(batch.ptr)) == batch.size
    assert intake.room == CAPACITY
