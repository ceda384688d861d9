# SPDX-License-Identifier: Apache-2.0
"""The worked examples in the docstrings of losses and confidence, run as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.counting.recovered import Recovered
from slabtrace.analysis.trust.losses import Losses, Of
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest
from tests.unit.analysis.trust.test_confidence import (
    BULK_FREE,
    EVERYTHING_FREE,
    RCU_FREES,
    S,
    claim,
    loss,
    slab,
)

LEDGER = [
    (2, Loss.RING_FULL, "", 10),
    (5, Loss.RECURSION, "kmalloc", 5),
    (5, Loss.RECURSION, "kmalloc_twin", 2),
    (6, Loss.RECURSION, "mm_page_free", 8),
    (8, Loss.LATE, "", 3),
]


def test_losses() -> None:
    rows = [
        {"begin_ns": second * S, "end_ns": (second + 1) * S, "cpu": -1, "kind": kind, "program": program}
        | {"count": count}
        for second, kind, program, count in LEDGER
    ]
    table = pa.Table.from_pylist(rows, schema.LOSSES)
    losses = Losses(table, Manifest(), Recovered({"kmalloc": 4}, {}, 4))
    assert (losses.dropped, losses.skipped, losses.late, losses.total) == (10, 1, 3, 14)
    assert losses.between(9 * S // 2, 7 * S) == losses.between(9 * S // 2, 7 * S, Of.ALLOCATIONS) == 4
    since = losses.since(np.array([1 * S, 5 * S, 15 * S // 2, 11 * S]))
    assert since.tolist() == [14, 4, 3, 0]


IN_USE = slab(0x2000, *EVERYTHING_FREE)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({}, ("exact", 0)),
        ({"losses": [loss(8, Loss.RING_FULL, 2)]}, ("bounded", 2)),
        ({"losses": [loss(2, Loss.RING_FULL, 9)]}, ("bounded", 1)),
        ({"coverage": BULK_FREE}, ("unprovable", None)),
        ({"coverage": BULK_FREE, "slabs": IN_USE}, ("exact", 0)),
        ({"coverage": RCU_FREES, "slabs": IN_USE}, ("bounded", 0)),
    ],
)
def test_confidence(tmp_path: Path, of: dict[str, Any], expected: tuple[str, int | None]) -> None:
    assert claim(tmp_path, **of) == expected
