# SPDX-License-Identifier: Apache-2.0
"""The table of slab caches: its sums add up, and it claims no more than the kernel's count can resolve."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.trust.reconcile import FILTERED, PARKED
from slabtrace.render.terminal.caches import write_caches
from slabtrace.render.terminal.reconcile import match
from tests.unit.fake_rows import CACHES


def test_the_sums_add_up_and_say_what_was_inferred() -> None:
    out = io.StringIO()
    write_caches(out, pd.DataFrame([{**CACHES[0], "frees": 9_000, "inferred": 1_007}]))
    row = next(line.split() for line in out.getvalue().splitlines() if line.startswith("msg_msg-128"))
    assert row[2:5] == ["10,030", "10,007", "+23"]
    assert "frees include 1,007 frees not seen but inferred" in out.getvalue()


@pytest.mark.parametrize(
    ("difference", "explained", "slack", "why", "said"),
    [
        (-45, 0.0, 312, PARKED, "within 312"),  # TCP 945 900 +45 +0: parked objects, not a wrong trace
        (-45, 0.0, 44, "frees", "0.0%"),
        (312, 0.5, 312, PARKED, "within 312"),
        (5, 0.996, 312, PARKED, "99.6%"),
        (0, 1.0, 312, "", "100.0%"),
        (-45, 0.0, 312, FILTERED, "filtered"),
        (pd.NA, float("nan"), float("nan"), float("nan"), "-"),
    ],
)
def test_a_match_says_what_the_kernels_count_can_resolve(
    difference: Any, explained: float, slack: float, why: Any, said: str
) -> None:
    row = {"unexplained": difference, "explained": explained, "slack": slack, "why": why}
    assert match(row) == said
