# SPDX-License-Identifier: Apache-2.0
"""What speaks against a leak: the cache, the kernel's own count, a filter, unknown references."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from slabtrace.analysis.leaks.doubts import Known, doubts_of
from slabtrace.analysis.leaks.evidence import Tested as Results
from slabtrace.analysis.leaks.group_tests import GroupTests
from slabtrace.analysis.trust.confidence import Proof

CACHE = "kmalloc-64"
GAINED = Results(kept=60, older=0.0)
NO_PROOF = cast(Proof, None)  # doubts do not ask for it


def doubt(
    change: int | None = None,
    slack: int = 0,
    grew: bool = True,
    reclaimable: bool = False,
    unknown: bool = False,
    **more: Any,
) -> str:
    """The doubt about 60 objects that came while nothing went."""
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": reclaimable}])
    counts = {} if change is None else {CACHE: change}
    known = Known(NO_PROOF, np.empty(0, np.int8), counts, {CACHE: slack}, **more)
    tests = GroupTests([GAINED], np.array([grew]))
    (found,) = doubts_of(owners, tests, np.array([unknown]), known)
    return found


def test_the_example() -> None:
    assert "kernel's own count" in doubt(12, slack=10)
    assert doubt(20, slack=10) == doubt(30) == doubt(60) == ""


def test_without_a_count_of_the_kernel_nothing_speaks_against_it() -> None:
    assert doubt() == ""


def test_of_a_sample_the_kernel_must_show_what_the_sample_stands_for() -> None:
    assert doubt(60, one_in=1) == "" and "own count" in doubt(60, one_in=16)
    assert doubt(480, one_in=16) == ""


@pytest.mark.parametrize(("change", "doubtful"), [(None, True), (29, True), (30, False)])
def test_a_filter_that_hides_older_frees_needs_the_count_of_the_kernel(
    change: int | None, doubtful: bool
) -> None:
    """Parked objects do not help here: the growth itself must be seen."""
    found = doubt(change, slack=100, older_unseen=True)
    assert found.startswith("the filter") if doubtful else found == ""


def test_a_cache_that_did_not_grow() -> None:
    assert "of this cache were freed" in doubt(60, grew=False)


@pytest.mark.parametrize(("reclaimable", "unknown"), [(False, True), (True, False), (True, True)])
def test_reclaimable_objects_of_which_it_is_not_known_whether_they_are_pinned(
    reclaimable: bool, unknown: bool
) -> None:
    assert ("the trace does not say" in doubt(60, reclaimable=reclaimable, unknown=unknown)) == (
        reclaimable and unknown
    )
