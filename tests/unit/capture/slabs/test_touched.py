# SPDX-License-Identifier: Apache-2.0
"""The pages that were allocated from are remembered, wherever the direct map is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.slabs.touched import TouchedPages, highest_page

PAGES = 150_000  # of memory: twice that, and 2^19 have lower bits of their own
SPAN = 1 << 19


@given(st.integers(0, 2**51), st.lists(st.lists(st.integers(0, SPAN * 4096 - 1), max_size=9), max_size=4))
def test_every_page_comes_back(begin: int, batches: list[list[int]]) -> None:
    touched, base = TouchedPages(PAGES), begin * 4096
    for offsets in batches:
        touched.add(np.array(offsets, np.uint64) + np.uint64(base))
    expected = sorted({base + offset // 4096 * 4096 for offsets in batches for offset in offsets})
    assert touched.addresses().tolist() == expected


def test_pages_that_lie_too_far_apart_are_not_told() -> None:
    touched = TouchedPages(PAGES)
    touched.add(np.array([0x1000, 0x1000 + SPAN * 4096], np.uint64))
    assert len(touched.addresses()) == 0


def test_the_highest_page_counts_though_a_node_lies_far_away(tmp_path: Path) -> None:
    """Two nodes of 1 GiB; the second one begins at 16 TiB."""
    zones = tmp_path / "zoneinfo"
    far = (16 << 40) // 4096
    node = "Node {0}, zone   Normal\n  pages free     9\n        spanned  262144\n        present  262144\n"
    node += "  per-node stats\n  start_pfn:           {1}\n"
    zones.write_text(node.format(0, 1) + node.format(1, far))
    assert highest_page(zones) == far + 262144
    assert highest_page(tmp_path / "none") == 0
    touched = TouchedPages(highest_page(zones))
    ends = np.array([4096, (far + 262143) * 4096], np.uint64) + np.uint64(0xFFFF_8880_0000_0000)
    touched.add(ends)
    assert touched.addresses().tolist() == ends.tolist()


def test_this_machines_memory_is_known() -> None:
    assert highest_page() >= os.sysconf("SC_PHYS_PAGES")
