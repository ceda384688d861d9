# SPDX-License-Identifier: Apache-2.0
"""The worked examples in the docstrings of survival and judgement, run as they are written."""

from __future__ import annotations

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.counting.ages import OCTAVES
from slabtrace.analysis.leaks.survival import survival
from tests.places import ROOT

S = 1_000_000_000


def test_survival() -> None:
    lived = np.zeros((1, OCTAVES), np.int64)
    lived[0, int(np.log2(3_000_000))] = 1000
    lived[0, int(np.log2(6 * S))] = 4
    alloc_ns = np.arange(24, 64) * S
    found = survival(lived, alloc_ns, np.zeros(40, np.intp), 0, 64 * S)
    assert (found.horizon_ns.tolist(), found.old.tolist(), found.old_freed.tolist()) == ([1 << 33], [32], [0])


def test_judgement() -> None:
    (group,) = slabtrace.open(ROOT / "fixtures/slow-leak.slab").leaks().to_dict("records")
    assert (group["class"], group["outstanding"], group["freed"]) == ("suspect", 48, 4800)
    assert group["horizon_ns"] == pytest.approx(2.15 * S, rel=0.01)
    assert (group["old"], group["old_freed"]) == (45, 0)
    assert group["steadiness"] == 1.0
    assert 60 * group["growth_bytes_per_s"] / 1024 == pytest.approx(15.0, abs=0.05)
    assert 60 * group["growth_low"] / 1024 == pytest.approx(14.7, abs=0.05)
    assert group["score"] == pytest.approx(group["growth_low"] / group["growth_bytes_per_s"], abs=0.001)
    assert group["late_share"] == pytest.approx(0.49, abs=0.01)
