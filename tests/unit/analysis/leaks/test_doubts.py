# SPDX-License-Identifier: Apache-2.0
"""What speaks against a leak: the cache, the kernel's own count, a filter, unknown references."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from slabtrace.analysis.leaks.by_design import Design, by_design
from slabtrace.analysis.leaks.doubts import Holders, KernelCount, Known, doubts_of
from slabtrace.analysis.leaks.evidence import Tested as Results
from slabtrace.analysis.leaks.group_tests import GroupTests
from slabtrace.analysis.leaks.owners import Owned
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
    design: Design | None = None,
    tgid: NDArray[np.uint32] | None = None,
    running: frozenset[int] | None = None,
    ended: int = 0,
    **more: Any,
) -> str:
    """The doubt about 60 objects that came while nothing went."""
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": reclaimable}])
    counts = {} if change is None else {CACHE: change}
    tests, number = GroupTests([GAINED], np.array([grew])), GAINED.kept
    all_of_one = np.zeros(number, np.intp)
    objects = Owned(all_of_one, np.zeros(1, np.intp), np.zeros(1, np.bool_))
    pinned = np.full(number, -1 if unknown else 1, np.int8)
    holders = Holders(np.zeros(number, np.uint32) if tgid is None else tgid, running, ended)
    known = Known(NO_PROOF, pinned, holders, KernelCount(counts, {CACHE: slack}), **more)
    (found,) = doubts_of(owners, objects, all_of_one, tests, [design], known)
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
    assert found.startswith("frees of older objects") if doubtful else found == ""


def test_a_cache_that_did_not_grow() -> None:
    assert "of this cache were freed" in doubt(60, grew=False)


@pytest.mark.parametrize(("reclaimable", "unknown"), [(False, True), (True, False), (True, True)])
def test_reclaimable_objects_of_which_it_is_not_known_whether_they_are_pinned(
    reclaimable: bool, unknown: bool
) -> None:
    assert ("the trace does not say" in doubt(60, reclaimable=reclaimable, unknown=unknown)) == (
        reclaimable and unknown
    )


def test_what_belongs_to_a_process_goes_with_it_unless_it_has_ended() -> None:
    task = by_design("task_struct", "copy_process+0x18a")
    assert task is not None
    assert "belongs to a process" in doubt(60, design=task)
    assert "belongs to a process" in doubt(60, design=task, running=frozenset(), ended=29)
    assert doubt(60, design=task, running=frozenset(), ended=30) == ""  # half of them are zombies


def test_what_the_kernel_frees_after_a_minute_shows_in_three() -> None:
    closed = by_design("tw_sock_TCP", "inet_twsk_alloc+0x43")
    assert "TIME_WAIT" in doubt(60, design=closed, length_s=179)
    assert doubt(60, design=closed, length_s=180) == ""


@pytest.mark.parametrize(
    ("new", "each", "doubtful"),
    [
        (20, 3, True),  # 20 processes that began meanwhile hold 3 each
        (3, 20, False),  # too few processes
        (0, 3, False),  # they are older
    ],
)
def test_what_many_new_processes_hold_is_theirs(new: int, each: int, doubtful: bool) -> None:
    """Of 60 objects."""
    tgid = (100 + np.arange(60) // each).astype(np.uint32)
    found = doubt(60, tgid=tgid, running=frozenset(range(100, 100 + new)))
    assert ("began meanwhile and still run" in found) == doubtful
