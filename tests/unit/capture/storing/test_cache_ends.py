# SPDX-License-Identifier: Apache-2.0
"""What the storing thread does when a slab cache ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.capture.storing.storing import Storing
from slabtrace.capture.stream.intake import CacheEnd, OtherRows
from slabtrace.trace.format.batch import EventBatch

C40 = 0xFFFF_8880_0000_1C40
NO_EVENTS = EventBatch(
    np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32),
    np.empty(0, np.uint16),
)  # fmt: skip
THINGS = SlabCache(C40, "things", 0, 0, 0, 0, 0, 0, False, C40)


def test_the_cache_that_ended_is_stored_by_its_name_if_it_was_not_read() -> None:
    done: list[Any] = []

    def ended(address: int, ts_ns: int, name: str = "") -> SlabCache | None:
        done.append((address, ts_ns, name))
        return THINGS if name else None

    store: Any = Storing.__new__(Storing)
    store._session = SimpleNamespace(caches=SimpleNamespace(ended=ended))
    store._numbers = SimpleNamespace(
        ended=lambda ts_ns, address: done.append((ts_ns, address)), add=lambda sites: None,
        of=lambda site, ts_ns: site,
    )  # fmt: skip
    store._merge = SimpleNamespace(merge=lambda batch, watermark_ns: batch)
    store._of_site, store._some_unwanted = np.zeros(1, np.uint8), False
    store._store_tasks = store._store_processes = store._within = lambda *rows: rows[0]
    store._store_new_sites = lambda: None
    store._store_caches = done.append
    others = OtherRows([], [], [], [CacheEnd(5, C40, "things"), CacheEnd(6, C40, "")])
    store._store(NO_EVENTS, None, None, others)
    assert done == [(5, C40), (C40, 5, "things"), [THINGS], (6, C40), (C40, 6, "")]
