# SPDX-License-Identifier: Apache-2.0
"""Which live objects make a finding: acts of tasks, written as lists of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.leaks import owners
from slabtrace.analysis.leaks.acts import (
    LONGEST_NS,
    MOST_GROUPS,
    MOST_PAIRS,
    MUCH_LONGER,
    TOGETHER_NS,
    together,
)
from slabtrace.analysis.leaks.owners import Traits, owned
from slabtrace.trace.format.batch import EventBatch

# Groups, and the size of an object of each: what a socket consists of.
TCP, INODE, FILP, DENTRY, SMALL = range(5)
SIZES = (2368, 832, 256, 192, 16)
SOCKET = (INODE, TCP, FILP, DENTRY, SMALL, SMALL)
US = 1000


class Act(NamedTuple):
    """Objects that a task allocated, a microsecond apart, from `at_us` on."""

    groups: Sequence[int]
    at_us: int
    tid: int = 7
    pinned: int = -1


Found = list[tuple[int, int, dict[int, int]]]


def found(
    acts: Iterable[Act],
    sizes: Sequence[int] = SIZES,
    alone: Sequence[int] = (),
    several: Sequence[int] = (),
    unseen: Sequence[int] = (),
    thing: Sequence[int] = (),
    shuffled: int | None = None,
) -> Found:
    """(owner, freeable, objects of each group) of each finding, most objects first."""
    rows = [
        (act.at_us * US + US * number, act.tid, group, act.pinned)
        for act in acts
        for number, group in enumerate(act.groups)
    ]
    ts_ns, tid, member, pinned = np.array(rows, np.int64).reshape(-1, 4).T
    order = (
        np.arange(len(rows)) if shuffled is None else np.random.default_rng(shuffled).permutation(len(rows))
    )
    live = batch(ts_ns, tid).take(order)
    flags = [np.isin(np.arange(len(sizes)), each) for each in (alone, several, unseen, thing)]
    result = owned(live, member[order], pinned[order].astype(np.int8), Traits(np.array(sizes), *flags))
    made: Found = []
    for number, (owner, freeable) in enumerate(zip(result.owner.tolist(), result.freeable, strict=True)):
        parts = Counter(member[order][result.finding == number].tolist())
        made.append((owner, int(freeable), dict(parts)))
    return sorted(made, key=lambda each: -sum(each[2].values()))


def batch(ts_ns: np.ndarray, tid: np.ndarray) -> EventBatch:
    number = len(ts_ns)
    return EventBatch(
        ts_ns.astype(np.int64),
        64 * np.arange(number, dtype=np.uint64),
        np.zeros(number, np.uint32),
        tid.astype(np.uint32),
        np.zeros(number, np.uint16),
    )


def every(groups: Sequence[int], number: int, start_us: int = 0, tid: int = 7) -> list[Act]:
    """So many acts, a millisecond apart."""
    return [Act(groups, start_us + 1000 * at, tid) for at in range(number)]


def test_the_example_sockets_among_other_files() -> None:
    acts = [*every(SOCKET, 41), *every([FILP], 30, 500)]
    assert found(acts) == [
        (TCP, 0, {INODE: 41, TCP: 41, FILP: 41, DENTRY: 41, SMALL: 82}),
        (FILP, 0, {FILP: 30}),
    ]


def test_the_order_of_the_objects_changes_nothing() -> None:
    acts = [*every(SOCKET, 41), *every([FILP], 30, 500)]
    assert found(acts, shuffled=1) == found(acts)


def test_other_files_of_the_same_system_calls_are_not_owned() -> None:
    """Only in nearly every act do groups belong together; half of them is not enough."""
    acts = [*every([TCP, FILP], 20), *every([TCP], 20, 300), *every([FILP], 20, 600)]
    assert found(acts) == [(TCP, 0, {TCP: 40}), (FILP, 0, {FILP: 40})]


def test_a_loop_without_pauses_is_cut_where_its_largest_object_comes_again() -> None:
    """500 rounds in half a millisecond; each 20th is without the small object."""
    rounds = [TCP if part == 0 else SMALL for at in range(500) for part in range(2 if at % 20 else 1)]
    assert found([Act(rounds, 0)]) == [(TCP, 0, {TCP: 500, SMALL: 475})]


def by_turns(period_us: int, apart_us: Sequence[int], rounds: int = 9) -> Found:
    """What is found of a task that allocates a TCP in each period, and something so much later."""
    parts = [[TCP], *([part] for part in (SMALL, DENTRY)[: len(apart_us)])]
    times = [0, *apart_us]
    return found(
        Act(groups, period_us * at + later)
        for at in range(rounds)
        for groups, later in zip(parts, times, strict=True)
    )


def test_a_pause_divides_acts() -> None:
    apart = TOGETHER_NS // US
    assert by_turns(5 * apart, [apart]) == [(TCP, 0, {TCP: 9, SMALL: 9})]
    assert len(by_turns(5 * apart, [apart + 1])) == 2


def test_a_short_pause_among_much_longer_ones_divides_nothing() -> None:
    """A fork: between its task_struct and its pid, page tables are copied."""
    assert by_turns(100_000, [3000]) == [(TCP, 0, {TCP: 9, SMALL: 9})]
    assert by_turns(100_000, [300, 4000]) == [(TCP, 0, {TCP: 9, SMALL: 9, DENTRY: 9})]
    assert len(by_turns(100_000, [LONGEST_NS // US + 1])) == 2, "too long in any case"
    assert len(by_turns(3000 * MUCH_LONGER, [3000])) == 2, "57 ms is not much longer than 3 ms"


def test_what_else_a_task_does_soon_after_is_not_part_of_it() -> None:
    """Files that a task opened some milliseconds after sockets are not those of the sockets."""
    sockets = [Act(SOCKET, 500_000 * at) for at in range(30)]
    files = [Act([FILP], 500_000 * at + 3000) for at in range(0, 30, 3)]
    assert found([*sockets, *files]) == [
        (TCP, 0, {INODE: 30, TCP: 30, FILP: 30, DENTRY: 30, SMALL: 60}),
        (FILP, 0, {FILP: 10}),
    ]


def test_tasks_at_the_same_time_are_distinguished() -> None:
    acts = [*every([TCP], 9, tid=7), *every([SMALL], 9, tid=8)]
    assert found(acts) == [(TCP, 0, {TCP: 9}), (SMALL, 0, {SMALL: 9})]


def test_a_detail_now_and_then_does_not_divide_its_owner() -> None:
    acts = [*every([TCP], 60), *every([TCP, SMALL], 5, 100_000)]
    assert found(acts) == [(TCP, 0, {TCP: 65, SMALL: 5})]


@pytest.mark.parametrize("numbers", list(permutations(range(3))))
def test_a_detail_of_a_detail_belongs_to_the_same_owner(numbers: tuple[int, ...]) -> None:
    """However the groups are numbered."""
    owner, detail, inner = numbers
    sizes = [0] * 3
    for number, size in zip(numbers, (2000, 200, 20), strict=True):
        sizes[number] = size
    acts = [*every([owner], 60), *every([owner, detail], 9, 100_000), *every(numbers, 3, 200_000)]
    assert found(acts, sizes) == [(owner, 0, {owner: 72, detail: 12, inner: 3})]


def test_what_came_in_two_acts_of_many_is_a_finding_of_its_own() -> None:
    acts = [*every([TCP], 60), *every([TCP, SMALL], 2, 100_000)]
    assert found(acts) == [(TCP, 0, {TCP: 62}), (SMALL, 0, {SMALL: 2})]


def test_of_a_group_with_sampled_stacks_just_the_objects_of_its_acts_hang_on_another() -> None:
    """The group is of many stacks: what is true of some of its objects is not of all."""
    acts = [*every([TCP], 60), *every([TCP, SMALL], 9, 100_000)]
    assert found(acts, several=[TCP]) == [(TCP, 0, {TCP: 60}), (SMALL, 0, {TCP: 9, SMALL: 9})]


# A timer of a descriptor: its own memory is returned by kfree_rcu, and the file by a path that is traced.
TIMER = (TCP, FILP, SMALL)


def test_of_what_is_freed_unseen_just_the_objects_of_its_acts_hang_on_another() -> None:
    """40 timers are kept, 60 are closed; the memory of the latter seems alive for a while."""
    acts = [*every(TIMER, 40), *every([TCP], 60, 500)]
    assert found(acts) == [(TCP, 0, {TCP: 100, FILP: 40, SMALL: 40})]
    assert found(acts, unseen=[TCP]) == [(FILP, 0, {TCP: 40, FILP: 40, SMALL: 40}), (TCP, 0, {TCP: 60})]
    assert found(acts, unseen=TIMER) == found(acts)  # of no part more is known


def test_what_is_freed_unseen_owns_nothing_that_is_seen_freed() -> None:
    assert found(every(TIMER, 40), unseen=[TCP]) == [(FILP, 0, dict.fromkeys(TIMER, 40))]
    assert found(every(TIMER, 40), unseen=TIMER) == [(TCP, 0, dict.fromkeys(TIMER, 40))]


def test_a_rare_part_that_is_seen_freed_owns_nothing() -> None:
    """Five of 65 have more; what is always there is the owner, or what came alone is apart."""
    acts = [*every([TCP], 60), *every(TIMER, 5, 500)]
    assert found(acts, unseen=[TCP, FILP]) == [
        (TCP, 0, {TCP: 60}),
        (SMALL, 0, {TCP: 5, FILP: 5, SMALL: 5}),
    ]
    assert found(every([TCP, SMALL, SMALL], 40), unseen=[TCP])[0][0] == TCP


def test_several_owners_of_one_common_group() -> None:
    sizes = (2000, 1000, 100)
    acts = [*every([0, 2], 20), *every([1, 2], 10, 100_000), *every([2], 7, 200_000)]
    assert found(acts, sizes) == [(0, 0, {0: 20, 2: 20}), (1, 0, {1: 10, 2: 10}), (2, 0, {2: 7})]


@pytest.mark.parametrize("shuffled", range(5))
def test_what_hangs_on_something_that_hangs_itself_belongs_to_the_last_owner(shuffled: int) -> None:
    """Sockets among files among dentries, of which each has stacks of its own."""
    acts = [
        *every((TCP, FILP, DENTRY), 20),
        *every((FILP, DENTRY), 20, start_us=10**8),
        *every((DENTRY,), 20, start_us=2 * 10**8),
    ]
    made = found(acts, several=(FILP, DENTRY), shuffled=shuffled)
    assert made == [
        (TCP, 0, {TCP: 20, FILP: 20, DENTRY: 20}),
        (FILP, 0, {FILP: 20, DENTRY: 20}),
        (DENTRY, 0, {DENTRY: 20}),
    ]


@pytest.mark.parametrize("group", [TCP, SMALL])
def test_groups_that_are_alone_own_nothing_and_belong_to_nothing(group: int) -> None:
    assert len(found(every([TCP, SMALL], 30), alone=[group])) == 2


@pytest.mark.parametrize(("smalls", "findings"), [([1, 1], 1), ([2, 2], 2), ([2, 2, 2], 1)])
def test_in_very_few_acts_there_must_be_as_many_of_both(smalls: list[int], findings: int) -> None:
    acts = [Act([TCP] + [SMALL] * number, 1000 * at) for at, number in enumerate(smalls)]
    assert len(found(acts)) == findings


def test_pinned_objects_are_apart_from_those_that_the_kernel_can_give_up() -> None:
    held = [act._replace(pinned=1) for act in every([DENTRY, SMALL], 12)]
    loose = [act._replace(pinned=0) for act in every([DENTRY, SMALL], 20, 500)]
    assert found(held + loose) == [(DENTRY, 1, {DENTRY: 20, SMALL: 20}), (DENTRY, 0, {DENTRY: 12, SMALL: 12})]


def test_what_is_not_known_of_a_part_does_not_matter_beside_one_that_is() -> None:
    """A dentry that can be given up takes its small object along, of which nothing is known."""
    ts_ns = np.concatenate([np.arange(9) * 1_000_000, np.arange(9) * 1_000_000 + 5000])
    member, pinned = np.repeat([DENTRY, SMALL], 9), np.repeat([0, -1], 9).astype(np.int8)
    none = np.zeros(5, np.bool_)
    about = Traits(np.array(SIZES), none, none, none, none)
    result = owned(batch(ts_ns, np.full(18, 7)), member, pinned, about)
    assert result.finding.tolist() == [0] * 18 and result.freeable.tolist() == [True]


def test_what_is_known_to_be_something_else_is_no_part_of_a_dentry() -> None:
    """A task makes a file and sends a message, which nobody receives."""
    acts = [Act([DENTRY], 500 * at, pinned=0) for at in range(20)]
    acts += [Act([SMALL], 500 * at + 10) for at in range(20)]
    assert found(acts) == [(DENTRY, 1, {DENTRY: 20, SMALL: 20})]
    assert sorted(found(acts, thing=[SMALL])) == [(DENTRY, 1, {DENTRY: 20}), (SMALL, 0, {SMALL: 20})]


def test_what_is_much_larger_than_a_dentry_is_no_part_of_it() -> None:
    """A cgroup is made with a directory: its dentry can be given up, the cgroup cannot."""
    directories = [Act([DENTRY], 500 * at, pinned=0) for at in range(20)]
    groups = [act._replace(groups=[TCP], at_us=act.at_us + 10, pinned=-1) for act in directories]
    assert found(directories + groups) == [(TCP, 0, {DENTRY: 20, TCP: 20})]


def test_no_objects() -> None:
    assert found([]) == []


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(-1, 1)), max_size=40)
)
def test_every_object_is_in_one_finding_with_an_owner(acts: list[tuple[list[int], int]]) -> None:
    made = found([Act(groups, 500 * at, pinned=pinned) for at, (groups, pinned) in enumerate(acts)])
    assert sum(sum(parts.values()) for _, _, parts in made) == sum(len(groups) for groups, _ in acts)
    assert all(parts.get(owner) for owner, _, parts in made)
    assert len({(owner, freeable) for owner, freeable, _ in made}) == len(made)


def meetings(pairs: np.ndarray) -> int:
    in_act = np.bincount(pairs[0])
    return int((in_act * (in_act - 1) // 2).sum())


def test_a_million_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kinds of acts, 20 groups each, by turns; the work is bounded, and all kinds are recognised."""
    kinds, parts, acts = 3, 20, 50_000
    member = (np.arange(parts)[None, :] + parts * (np.arange(acts) % kinds)[:, None]).ravel()
    ts_ns = (np.arange(acts)[:, None] * 1_000_000 + np.arange(parts)[None, :] * US).ravel()
    looked_at: list[int] = []
    monkeypatch.setattr(
        owners, "together", lambda pairs: (looked_at.append(meetings(pairs)), together(pairs))[1]
    )
    size, none = np.arange(kinds * parts, 0, -1) * 8, np.zeros(kinds * parts, np.bool_)
    live = batch(ts_ns, np.full(len(ts_ns), 7))
    result = owned(live, member, np.full(len(ts_ns), -1, np.int8), Traits(size, none, none, none, none))
    assert len(ts_ns) == 1_000_000 and acts * parts * (parts - 1) // 2 > 2 * MOST_PAIRS
    assert 0.9 * MOST_PAIRS < looked_at[0] <= MOST_PAIRS
    assert result.owner.tolist() == [0, parts, 2 * parts]
    assert np.bincount(result.finding).tolist() == [333_340, 333_340, 333_320]


def test_an_act_of_very_many_groups_is_not_looked_at() -> None:
    """A task that never pauses and has a thousand stacks: their pairs mean nothing, and would be many."""
    many = 3 * MOST_GROUPS
    made = found([Act(list(range(many)), 10_000 * at) for at in range(4)], [64] * many)
    assert len(made) == many
