# SPDX-License-Identifier: Apache-2.0
"""The worked example in the docstring of judgement, run as it is written."""

from __future__ import annotations

import pytest

import slabtrace
from tests.places import ROOT

S = 1_000_000_000


def test_judgement() -> None:
    (group,) = slabtrace.open(ROOT / "fixtures/slow-leak.slab").leaks().to_dict("records")
    assert (group["class"], group["outstanding"], group["freed"]) == ("suspect", 48, 4800)
    assert group["horizon_ns"] == pytest.approx(2.15 * S, rel=0.01)
    assert (group["old"], group["old_freed"]) == (45, 0)
    assert group["older_freed"] == 0
    assert group["rate_per_s"] == pytest.approx(2.01, abs=0.01)
    assert group["rate_low"] == pytest.approx(1.47, abs=0.01)
    assert group["rate_high"] == pytest.approx(2.69, abs=0.01)
