# SPDX-License-Identifier: Apache-2.0
"""In which order `leaks` shows findings: those with their reasons first."""

from __future__ import annotations

import pandas as pd

from slabtrace.analysis.leaks.findings import cards
from slabtrace.cli.chosen import cards_first

GROWS = ("suspect", "growing")
# rank, class, bytes, own, held
ROWS = [
    (1, "suspect", 10, False, "process"),
    (2, "retained", 20, False, "lost"),
    (3, "retained", 30, False, "kernel"),
    (4, "retained", 90, True, ""),
    (5, "young", 40, False, "lost"),
    (6, "reclaimable", 80, False, "cached"),
]


def findings() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["rank", "class", "bytes_alloc", "own", "held"])


def test_what_grows_or_is_lost_comes_first_the_rest_by_bytes_slabtraces_own_last() -> None:
    shown = cards_first(findings(), "rank", GROWS)
    assert shown["rank"].tolist() == [1, 2, 6, 5, 3, 4]
    assert cards(shown, GROWS).tolist() == [True, True, False, False, False, False]


def test_sorted_by_bytes_each_part_is() -> None:
    assert cards_first(findings(), "bytes", GROWS)["rank"].tolist() == [2, 1, 6, 5, 3, 4]
    assert cards_first(findings(), "bytes", ["young"])["rank"].tolist() == [5, 2, 6, 3, 1, 4]
