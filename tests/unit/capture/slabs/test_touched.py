# SPDX-License-Identifier: Apache-2.0
"""The pages that were allocated from are remembered, wherever the direct map is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.slabs.touched import TouchedPages

PAGES = 1000  # of memory: 4096 have lower bits of their own


@given(st.integers(0, 2**51), st.lists(st.lists(st.integers(0, 4095 * 4096 + 4095), max_size=9), max_size=4))
def test_every_page_comes_back(begin: int, batches: list[list[int]]) -> None:
    touched, base = TouchedPages(PAGES), begin * 4096
    for offsets in batches:
        touched.add(np.array(offsets, np.uint64) + np.uint64(base))
    expected = sorted({base + offset // 4096 * 4096 for offsets in batches for offset in offsets})
    assert touched.addresses().tolist() == expected


def test_pages_that_lie_too_far_apart_are_not_told() -> None:
    touched = TouchedPages(PAGES)
    touched.add(np.array([0x1000, 0x1000 + 4096 * 4096], np.uint64))
    assert len(touched.addresses()) == 0
