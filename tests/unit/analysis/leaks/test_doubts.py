# SPDX-License-Identifier: Apache-2.0
"""What speaks against a leak: processes, the cache, the kernel's own count, a filter, unknown references."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from slabtrace.analysis.holders.inspected import Held
from slabtrace.analysis.leaks import doubts
from slabtrace.analysis.leaks.by_design import Design, Fate, by_design
from slabtrace.analysis.leaks.doubts import Holders, KernelCount, Known
from slabtrace.analysis.leaks.evidence import Tested as Results
from slabtrace.analysis.leaks.group_tests import GroupTests
from slabtrace.analysis.leaks.owners import Owned
from slabtrace.analysis.names.cache_names import LARGE
from slabtrace.analysis.trust.confidence import Proof

CACHE = "kmalloc-64"
GAINED = Results(kept=60, sure=60, older=0.0)
NO_PROOF = cast(Proof, None)  # doubts do not ask for it


def holders(*objects: int, running: frozenset[int] = frozenset(), ended: int = 0) -> Holders:
    """Process 1 has the first number of objects, process 2 the second, …"""
    return Holders(np.repeat(np.arange(1, len(objects) + 1), objects).astype(np.uint32), running, ended)


def known(change: int | None = None, slack: int = 0, **more: Any) -> Known:
    kernel = KernelCount({} if change is None else {CACHE: change}, {CACHE: slack})
    return Known(NO_PROOF, np.empty(0, np.int8), holders(), kernel, **more)


def one(number: int) -> Owned:
    return Owned(np.zeros(number, np.intp), np.zeros(1, np.intp), np.zeros(1, np.bool_))


def many(*objects: int, running: frozenset[int]) -> int:
    (found,) = holders(*objects, running=running).new_processes(one(sum(objects))).tolist()
    return int(found)


def test_the_example() -> None:
    """A build: 40 compilers hold 3 files each."""
    processes = many(*[3] * 40, running=frozenset(range(1, 41)))
    assert doubts.of_many(processes).says == "40 processes hold these that began meanwhile and still run"


@pytest.mark.parametrize(
    ("objects", "running", "processes"),
    [
        ([10] * 5, {1, 2, 3, 4}, 4),  # 80 % are of new processes
        ([10] * 5, {1, 2, 3}, 0),  # three are too few
        ([30] * 5, {1, 2, 3, 9}, 0),  # a process that holds none does not count
        ([13, 10, 10, 10, 10], {2, 3, 4, 5}, 0),  # 40 of 53 are less than 80 %
        ([51, 20, 15, 14], {1, 2, 3, 4}, 0),  # one of them has more than half
        ([50, 20, 16, 14], {1, 2, 3, 4}, 4),
        ([10] * 5, set(), 0),
    ],
)
def test_what_many_new_processes_hold(objects: list[int], running: set[int], processes: int) -> None:
    assert many(*objects, running=frozenset(running)) == processes


def test_findings_are_distinguished() -> None:
    """The first finding is of five new processes, the second of an old one."""
    made = holders(2, 2, 2, 2, 2, 40, running=frozenset(range(1, 6)))
    finding = np.repeat([0, 1], [10, 40])
    found = Owned(finding, np.zeros(2, np.intp), np.zeros(2, np.bool_))
    assert made.new_processes(found).tolist() == [5, 0]


@pytest.mark.parametrize(("ended", "doubtful"), [(0, True), (29, True), (30, False)])
def test_what_belongs_to_processes_is_doubted_unless_these_have_ended(ended: int, doubtful: bool) -> None:
    design = by_design("task_struct", "copy_process+0x1", [])
    assert bool(doubts.of_process(design, 60, holders(ended=ended)).says) == doubtful
    assert doubts.of_process(None, 60, holders()) == doubts.NONE


@pytest.mark.parametrize(("length_s", "doubtful"), [(179.9, True), (180.0, False)])
def test_what_the_kernel_frees_after_a_minute_is_doubted_up_to_three_minutes(
    length_s: float, doubtful: bool
) -> None:
    timed = Design(re.compile(""), re.compile(""), Fate.TIMED, "is freed after a minute", 60.0)
    assert bool(doubts.of_time(timed, length_s).says) == doubtful
    assert doubts.of_time(None, length_s) == doubts.NONE
    assert doubts.of_time(by_design("pid", "alloc_pid+0x1", []), length_s) == doubts.NONE


def test_the_kernel_must_show_half_of_what_a_finding_gained() -> None:
    assert "own count" in doubts.of_kernel(CACHE, GAINED, known(19, slack=10)).says
    for change, slack in ((20, 10), (30, 0), (60, 0)):
        assert doubts.of_kernel(CACHE, GAINED, known(change, slack)) == doubts.NONE
    assert doubts.of_kernel(CACHE, GAINED._replace(older=40.0), known(10)) == doubts.NONE  # it gained 20


def test_without_a_count_of_the_kernel_nothing_speaks_against_it() -> None:
    assert doubts.of_kernel(CACHE, GAINED, known()) == doubts.NONE


def test_of_a_sample_the_kernel_must_show_what_the_sample_stands_for() -> None:
    assert doubts.of_kernel(CACHE, GAINED, known(60, one_in=1)) == doubts.NONE
    assert "own count" in doubts.of_kernel(CACHE, GAINED, known(479, one_in=16)).says
    assert doubts.of_kernel(CACHE, GAINED, known(480, one_in=16)) == doubts.NONE


@pytest.mark.parametrize(("change", "doubtful"), [(None, True), (29, True), (30, False)])
def test_where_older_frees_are_missing_the_kernel_must_agree(change: int | None, doubtful: bool) -> None:
    """Parked objects do not help here: the growth itself must be seen."""
    found = doubts.of_kernel(CACHE, GAINED, known(change, slack=100, older_unseen=True))
    assert found.says.startswith("frees of older objects") if doubtful else found == doubts.NONE


def test_a_cache_that_did_not_grow() -> None:
    assert "of this cache were freed" in doubts.of_balance(False).says
    assert doubts.of_balance(True) == doubts.NONE


@pytest.mark.parametrize(
    ("pinned", "reclaimable", "doubtful"), [(54, True, False), (53, True, True), (0, False, False)]
)
def test_reclaimable_owners_must_nearly_all_be_pinned(pinned: int, reclaimable: bool, doubtful: bool) -> None:
    """Of 60 owners so many are known to be pinned; what hangs on them does not matter."""
    states = np.array([1] * pinned + [-1] * (60 - pinned) + [-1] * 40, np.int8)
    about = Known(NO_PROOF, states, holders(100), KernelCount())
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": reclaimable, "context": "task"}])
    of_owner = np.repeat([0, -1], [60, 40])
    tests = GroupTests([GAINED], np.array([True]))
    (found,) = doubts.doubts_of(owners, one(100), of_owner, tests, [None], about)
    assert ("the trace does not say" in found.says) == doubtful and bool(found.next) == doubtful


@pytest.mark.parametrize(("settled", "doubtful"), [(False, True), (True, False)])
def test_what_is_left_after_settling_is_in_use(settled: bool, doubtful: bool) -> None:
    about = Known(NO_PROOF, np.full(60, -1, np.int8), holders(60), KernelCount(), settled=settled)
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": True, "context": "task"}])
    tests = GroupTests([GAINED], np.array([True]))
    (found,) = doubts.doubts_of(owners, one(60), np.zeros(60, np.intp), tests, [None], about)
    assert bool(found.says) == doubtful


@pytest.mark.parametrize(("held", "doubtful"), [("lost", False), ("kernel", True)])
def test_what_nothing_points_at_belongs_to_no_process(held: str, doubtful: bool) -> None:
    """Somebody forgot to put a reference to each struct pid; the processes were waited for."""
    about = Known(NO_PROOF, np.ones(60, np.int8), holders(60), KernelCount())
    owners = pd.DataFrame([{"cache": "pid", "reclaimable": False, "context": "task"}])
    tests = GroupTests([GAINED], np.array([True]))
    designs, alike = [by_design("pid", "alloc_pid+0x1", [])], [Held(60, 60 * (held == "lost"), held)]
    (found,) = doubts.doubts_of(owners, one(60), np.zeros(60, np.intp), tests, designs, about, alike)
    assert bool(found.says) == doubtful


@pytest.mark.parametrize(("ended", "doubtful"), [(10, False), (4, True)])
def test_zombies_are_compared_with_the_owners_not_with_what_hangs_on_them(ended: int, doubtful: bool) -> None:
    """Ten tasks, on each of which five more objects hang."""
    about = Known(NO_PROOF, np.ones(60, np.int8), holders(60, ended=ended), KernelCount())
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": False, "context": "task"}])
    of_owner = np.repeat([0, -1], [10, 50])
    tests = GroupTests([Results(kept=10, sure=10, older=0.0)], np.array([True]))
    designs = [by_design("task_struct", "copy_process+0x1", [])]
    (found,) = doubts.doubts_of(owners, one(60), of_owner, tests, designs, about)
    assert bool(found.says) == doubtful


def test_where_most_may_have_been_freed_unseen_the_cache_to_record_is_named() -> None:
    assert doubts.of_unseen(CACHE, GAINED._replace(sure=30)) == doubts.NONE
    found = doubts.of_unseen(CACHE, GAINED._replace(sure=29))
    assert "without being seen" in found.says and f"--cache '{CACHE}'" in found.next
    assert f"slub_debug=U,{CACHE}" in found.next


@pytest.mark.parametrize(("context", "doubtful"), [("task", True), ("", True), ("softirq NET_RX", False)])
def test_tasks_that_were_interrupted_do_not_hold_what_the_interrupt_allocated(
    context: str, doubtful: bool
) -> None:
    """Packets are received while 40 new processes run."""
    holds = holders(*[3] * 40, running=frozenset(range(1, 41)))
    about = Known(NO_PROOF, np.ones(120, np.int8), holds, KernelCount())
    owners = pd.DataFrame([{"cache": CACHE, "reclaimable": False, "context": context}])
    tests = GroupTests([GAINED], np.array([True]))
    (found,) = doubts.doubts_of(owners, one(120), np.zeros(120, np.intp), tests, [None], about)
    assert ("processes hold these" in found.says) == doubtful


def test_of_a_large_kmalloc_no_slab_can_be_asked() -> None:
    found = doubts.of_unseen(LARGE, GAINED._replace(sure=29))
    assert "kmemleak" in found.next and "--cache" not in found.next and "slub_debug" not in found.next


def test_what_only_a_longer_recording_removes_has_no_other_remedy() -> None:
    assert doubts.of_balance(False).next == ""  # what_next then says how much longer
