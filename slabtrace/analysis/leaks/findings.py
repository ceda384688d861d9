# SPDX-License-Identifier: Apache-2.0
"""Findings: owners and what hangs on them, each with one class, its whole size and its rate.

The evidence for a finding is that for its owner, the group with most bytes: its objects came one with one,
so what is true of the owner is true of all.  The classes: see CLASSES, and `_class` for their order.  What
slabtrace itself holds and what the kernel keeps by design (by_design.py) is never suspect or growing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.holders.classes import LOST
from slabtrace.analysis.leaks.evidence import LEAST_KEPT, Tested
from slabtrace.analysis.statistics.discovery import number_of_tests, stand_out

if TYPE_CHECKING:
    import pandas as pd

CLASSES = (
    "suspect",  # objects keep coming that nobody frees, and the cache grew by it
    "growing",  # certainly more than before; whether it is a leak is not certain
    "replacing",  # about as many older objects of the group went as new ones stay
    "retained",  # came once, in bursts, or no longer comes
    "young",  # no object is old enough, or too few came to decide
    "reclaimable",  # the kernel can give up these very objects when memory is short
)
SUSPECT, GROWING, REPLACING, RETAINED, YOUNG, RECLAIMABLE = CLASSES
GROWS = 0.05  # the level for growth, which claims less than a leak
REPLACED_SHARE = 0.7  # of the kept objects: as many older ones went


def lost(findings: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows of Trace.findings() are leaks, whether or not they grow: nothing points at the objects."""
    return ((findings["held"] == LOST) & (findings["class"] != YOUNG)).to_numpy(bool)


def cards(findings: pd.DataFrame, classes: Collection[str]) -> NDArray[np.bool_]:
    """Which rows of Trace.findings() are shown with their reasons: those of these classes, and the lost."""
    return findings["class"].isin(list(classes)).to_numpy(bool) | lost(findings)


@dataclass
class Circumstances:
    """What is true of k findings apart from the tests, arrays of shape (k,).

    `reclaimable`: the kernel can give up the objects.  `expected`: slabtrace's own, or kept by design.
    `doubted`: something speaks against a leak: the cache did not grow, or what it is of is not known.
    `too_short`: the kernel frees them after a time that the recording is too short to see.
    """

    reclaimable: NDArray[np.bool_]
    expected: NDArray[np.bool_]
    doubted: NDArray[np.bool_]
    too_short: NDArray[np.bool_]


@dataclass
class Judged:
    """The class of each finding, and the number of tests among which a suspect has to stand out."""

    classes: list[str]
    tests: int


def judge(results: list[Tested], about: Circumstances) -> Judged:
    """The class of each of k findings."""
    p, growth, least = (
        np.array([getattr(each, name) for each in results], np.float64)
        for name in ("p", "p_growth", "least_p")
    )
    counts = ~(about.reclaimable | about.expected)
    counts &= np.array([each.kept >= LEAST_KEPT for each in results], np.bool_)
    leak, grows = np.zeros(len(results), np.bool_), np.zeros(len(results), np.bool_)
    leak[counts] = stand_out(p[counts], least[counts])
    grows[counts] = stand_out(growth[counts], least[counts], GROWS)
    classes = [
        _class(result, bool(leak[at]), bool(grows[at]), about, at) for at, result in enumerate(results)
    ]
    return Judged(classes, max(number_of_tests(least[counts]), 1))


def _class(result: Tested, leak: bool, grows: bool, about: Circumstances, at: int) -> str:
    if about.reclaimable[at]:
        return RECLAIMABLE
    if not result.kept:
        return YOUNG
    more = result.rate.low > 0  # the interval agrees with the tests
    if leak and more and not about.doubted[at]:
        return SUSPECT
    if result.older >= REPLACED_SHARE * result.kept:
        return REPLACING
    bursts = result.kept >= LEAST_KEPT and not result.steady
    if grows and more and not result.ended and not bursts and not about.expected[at]:
        return YOUNG if about.too_short[at] else GROWING
    if result.ended or bursts or about.expected[at]:
        return RETAINED
    return YOUNG
