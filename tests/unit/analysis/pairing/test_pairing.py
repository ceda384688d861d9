# SPDX-License-Identifier: Apache-2.0
"""The vectorised Pairer, compared with hand-computed answers and with the simple reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slabtrace.analysis.counting.peaks import Peaks
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind
from tests.unit.reference import GOES_ON, Outcome
from tests.unit.reference import pair as reference
from tests.unit.synthetic import Event, alloc, free, intern, page_end, sites_of

KEY_OF_CACHE = (0xC0, 0xC1)


def vectorised(
    events: Sequence[Event],
    cuts: Sequence[int] = (),
    chunk_events: int = 1,
    free_traced_after: bool = False,
    preemptible: bool = False,
) -> Outcome:
    """The outcome of the Pairer for `events`, divided into batches at `cuts`.

    Events are identified by (time, address, site), which must be unique.
    """
    batch, sites = intern(events)
    pairer = Pairer(sites_of(sites), chunk_events, free_traced_after, preemptible=preemptible)
    peaks = Peaks(_caches(sites))
    out = Outcome()
    number = {name: at for at, name in enumerate(_names(batch))}
    for part in [*_parts(batch, cuts), None]:
        paired = pairer.feed(part) if part is not None else pairer.flush()
        if paired is not None:
            peaks.add(paired)
            _collect(out, paired, number)
    out.live = {number[each] for each in _names(pairer.live)}
    out.peak.update({KEY_OF_CACHE[row]: int(n) for row, n in enumerate(peaks.peak) if n})
    return out


def _names(batch: EventBatch) -> list[tuple[int, int, int]]:
    return list(zip(batch.ts_ns.tolist(), batch.ptr.tolist(), batch.site.tolist(), strict=True))


def _collect(out: Outcome, paired: Paired, number: dict[tuple[int, int, int], int]) -> None:
    who = [number[each] for each in _names(paired.events)]
    ends = {
        How.FREED: out.freed,
        How.INFERRED: out.inferred,
        How.DUPLICATE: out.duplicates,
        How.PAGE_END: out.page_ended,
    }
    for begin, end, how in zip(paired.alloc.tolist(), paired.end.tolist(), paired.how.tolist(), strict=True):
        ends[How(how)].add((who[begin], who[end]))
    out.old_frees |= {who[at] for at in paired.old_frees.tolist()}
    out.second_frees |= {who[at] for at in paired.second_frees.tolist()}
    out.completions |= {who[at] for at in paired.completions.tolist()}
    out.duplicate_frees |= {who[at] for at in paired.duplicate_frees.tolist()}


def _parts(batch: EventBatch, cuts: Sequence[int]) -> list[EventBatch]:
    bounds = [0, *sorted(min(cut, batch.size) for cut in cuts), batch.size]
    return [batch.take(slice(a, b)) for a, b in pairwise(bounds)]


def _caches(sites: dict[str, np.ndarray]) -> Caches:
    caches = Caches()
    for key in KEY_OF_CACHE:
        caches.add(hex(key))
    caches.of_site = np.array([KEY_OF_CACHE.index(key) for key in sites["cache"].tolist()], np.intp)
    return caches


def test_an_allocation_and_its_free_are_a_lifetime() -> None:
    out = vectorised([alloc(1, 0x10), alloc(2, 0x20), free(3, 0x10)])
    assert (out.freed, out.live) == ({(0, 2)}, {1})
    assert not (out.inferred or out.old_frees or out.second_frees)


def test_an_address_allocated_while_live_had_a_missed_free() -> None:
    out = vectorised([alloc(1, 0x10), alloc(2, 0x10), free(3, 0x10)])
    assert (out.inferred, out.freed) == ({(0, 1)}, {(1, 2)})


def test_only_the_first_free_of_an_unknown_object_is_an_old_free() -> None:
    out = vectorised([free(1, 0x10), free(2, 0x10)])
    assert (out.old_frees, out.second_frees) == ({0}, {1})


def test_a_second_free_is_found_after_many_other_events() -> None:
    between = [alloc(10 + i, 0x1000 + 8 * i) for i in range(50)]
    out = vectorised([alloc(1, 0x10), free(2, 0x10), *between, free(99, 0x10)], cuts=(1, 2, 30, 51))
    assert (out.second_frees, out.old_frees) == ({52}, set())


def test_at_one_time_and_address_the_free_comes_first() -> None:
    out = vectorised([alloc(1, 0x10), alloc(2, 0x10), free(2, 0x10)])
    assert (out.freed, out.inferred, out.live) == ({(0, 2)}, set(), {1})


def test_at_one_time_and_address_the_free_comes_first_in_another_batch_too() -> None:
    out = vectorised([alloc(1, 0x10), alloc(2, 0x10), free(2, 0x10), alloc(3, 0x20)], cuts=(1, 2))
    assert (out.freed, out.live) == ({(0, 2)}, {1, 3})


def test_a_late_event_within_a_chunk_is_put_in_order() -> None:
    out = vectorised([alloc(1, 0x10), alloc(5, 0x10), free(3, 0x10)], chunk_events=10)
    assert (out.freed, out.live, out.inferred) == ({(0, 2)}, {1}, set())


def test_the_end_of_a_slab_frees_its_objects() -> None:
    events = [
        alloc(1, 0x1000),
        alloc(2, 0x1040),
        alloc(3, 0x2000),  # in the next slab
        free(4, 0x1040),
        page_end(5, 0x1000, 0x1000),
        alloc(6, 0x1000),  # in a new slab at the same address
    ]
    out = vectorised(events, cuts=(3, 5))
    assert (out.page_ended, out.freed, out.inferred) == ({(0, 4)}, {(1, 3)}, set())
    assert out.live == {2, 5}


def test_the_end_of_a_slab_is_not_an_event_of_its_first_object() -> None:
    out = vectorised([page_end(1, 0x1000, 0x1000), alloc(2, 0x1000), free(3, 0x1000)])
    assert out == Outcome(freed={(1, 2)}, peak=out.peak)


def test_a_free_after_the_end_of_the_slab_is_a_second_one() -> None:
    for cuts in [(), (1,), (2,), (1, 2)]:
        out = vectorised([alloc(1, 0x1000), page_end(2, 0x1000, 0x1000), free(3, 0x1000)], cuts)
        assert (out.page_ended, out.second_frees, out.live) == ({(0, 1)}, {2}, set())


def test_an_allocation_at_the_time_of_a_page_end_is_in_a_new_slab() -> None:
    assert vectorised([alloc(2, 0x1000), page_end(2, 0x1000, 0x1000)]).live == {0}


@pytest.mark.parametrize(("begun", "completion"), sorted(GOES_ON))
@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2, 3)])
def test_a_kfree_rcu_frees_at_once_and_is_completed_later(
    begun: Kind, completion: Kind, cuts: tuple[int, ...]
) -> None:
    events = [
        alloc(1, 0x10),
        free(2, 0x10, kind=begun),
        free(50_000_000, 0x10, kind=completion),
        free(60_000_000, 0x10, kind=Kind.CACHE_FREE),  # and this is one too many
    ]
    out = vectorised(events, cuts)
    assert (out.freed, out.completions, out.second_frees) == ({(0, 1)}, {2}, {3})


def test_a_kfree_rcu_of_a_freed_object_is_a_second_free() -> None:
    rcu = {"kind": Kind.KFREE_RCU}
    for first in ({}, rcu):
        events = [alloc(1, 0x10), free(2, 0x10, **first), free(3, 0x10, **rcu)]
        out = vectorised(events, cuts=(2,))
        assert (out.freed, out.second_frees, out.completions) == ({(0, 1)}, {2}, set())


def test_an_allocation_after_a_kfree_rcu_completes_it() -> None:
    """So it is if the object went into a sheaf, which no tracepoint reports."""
    rcu = free(2, 0x10, kind=Kind.KFREE_RCU)
    out = vectorised([alloc(1, 0x10), rcu, alloc(3, 0x10), free(4, 0x10), free(5, 0x10)], cuts=(2, 3))
    assert (out.freed, out.completions, out.second_frees) == ({(0, 1), (2, 3)}, set(), {4})


def test_a_kfree_rcu_of_an_old_object_is_completed_too() -> None:
    out = vectorised([free(1, 0x10, kind=Kind.KFREE_RCU), free(2, 0x10)], cuts=(1,))
    assert (out.old_frees, out.completions, out.second_frees) == ({0}, {1}, set())


LATE = free(2_500, 0x10, kind=Kind.CACHE_FREE, cpu=0)
REUSED = [alloc(1, 0x10, cpu=0), alloc(2_000, 0x10, cpu=1), LATE]


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2)])
def test_a_late_free_belongs_to_the_object_before(cuts: tuple[int, ...]) -> None:
    out = vectorised(REUSED, cuts, free_traced_after=True)
    assert (out.freed, out.live, out.inferred, out.peak) == ({(0, 2)}, {1}, set(), {0xC0: 1})
    out = vectorised(REUSED, cuts)
    assert (out.freed, out.live, out.inferred) == ({(1, 2)}, set(), {(0, 1)})


@pytest.mark.parametrize("late", [{"cpu": 1}, {"kind": Kind.KFREE}, {"ts": 12_000}])
def test_other_frees_are_not_late(late: dict[str, int]) -> None:
    out = vectorised([*REUSED[:2], replace(LATE, **late)], free_traced_after=True)
    assert (out.freed, out.inferred) == ({(1, 2)}, {(0, 1)})


def test_late_frees_may_follow_one_another() -> None:
    events = [*REUSED, alloc(3_000, 0x10, cpu=0), replace(LATE, ts=3_500, cpu=1)]
    for cuts in [(), (1, 2, 3, 4)]:
        out = vectorised(events, cuts, free_traced_after=True)
        assert (out.freed, out.live) == ({(0, 2), (1, 4)}, {3})


def test_the_free_that_ends_a_slab_is_traced_after_its_end() -> None:
    last = free(1_500, 0x1000, kind=Kind.CACHE_FREE)
    events = [alloc(1, 0x1000), page_end(1_000, 0x1000, 0x1000), last]
    for cuts in [(), (1, 2)]:
        out = vectorised(events, cuts, free_traced_after=True)
        assert (out.freed, out.page_ended, out.second_frees) == ({(0, 2)}, set(), set())
        assert vectorised(events, cuts).page_ended == {(0, 1)}


def test_addresses_too_far_apart_to_pack_are_paired() -> None:
    low, high = 0x1, 0xFFFF_FFFF_FFFF_FFFF
    out = vectorised([alloc(1, low), alloc(2, high), free(3, low), free(4, high)], chunk_events=10)
    assert out.freed == {(0, 2), (1, 3)}


def test_a_peak_between_batches_is_found() -> None:
    up = [alloc(i, 8 * i) for i in range(1, 6)]
    down = [free(10 + i, 8 * i) for i in range(1, 6)]
    again = [alloc(20 + i, 8 * i) for i in range(1, 4)]
    out = vectorised([*up, *down, *again], cuts=(3, 7, 11))
    assert out.peak == {0xC0: 5}


def test_old_frees_do_not_lower_the_peak() -> None:
    out = vectorised([free(1, 0x10), free(2, 0x20), alloc(3, 0x30)])
    assert out.peak == {0xC0: 1}


def test_sites_may_grow_while_events_are_fed() -> None:
    _, columns = intern([alloc(1, 0x10), free(2, 0x10)])
    batch, _ = intern([alloc(1, 0x10), free(2, 0x10)])
    sites = sites_of({name: column[:1] for name, column in columns.items()})
    pairer = Pairer(sites)
    pairer.feed(batch.take(slice(1)))
    sites.extend({name: column[1:] for name, column in columns.items()})
    pairer.feed(batch.take(slice(1, 2)))
    paired = pairer.flush()
    assert paired is not None and paired.how.tolist() == [How.FREED]
    assert pairer.live.size == 0


def test_waiting_counts_the_events_not_yet_paired() -> None:
    batch, sites = intern([alloc(i, 8 * i) for i in range(1, 8)])
    pairer = Pairer(sites_of(sites), chunk_events=100)
    pairer.feed(batch.take(slice(3)))
    pairer.feed(batch.take(slice(3, 7)))
    assert (pairer.waiting, pairer.live.size) == (7, 0)
    pairer.flush()
    assert (pairer.waiting, pairer.live.size) == (0, 7)


LONG = 330_000_000  # ns: three fit into the longest wait for a twin

# A per-CPU pointer is never the address of a slab object, and has a cache of its own.
OF_SLABS = [kind for kind in Kind if not kind.name.startswith(("PERCPU", "PAGES", "V"))]
EVENT = st.builds(
    Event,
    ts=st.sampled_from([0, 0, 1, 2, 3_000, 12_000, 9_000_000, LONG]),  # since the event before
    ptr=st.sampled_from([0x10, 0x18, 0x20, 0xFFFF_8880_0000_0000]),
    kind=st.sampled_from([*OF_SLABS, Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE]),
    call_site=st.sampled_from([0x100, 0x200]),
    cache=st.sampled_from(KEY_OF_CACHE),
    bytes_req=st.sampled_from([8, 16]),
    cpu=st.sampled_from([0, 1]),
    tid=st.sampled_from([7, 7, 7, 0]),
    flags=st.sampled_from([0, 0, 0, Flag.LARGE, Flag.RECOVERED]),
)


# Slabs of two sizes: the first page of the small size has 0x10 and 0x18, the second has 0x20.
PAGE_END = st.builds(
    lambda ts, slab: Event(ts, slab[0], Kind.PAGE_END, bytes_req=0, bytes_alloc=slab[1]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([(0x00, 0x40), (0x00, 0x20), (0x20, 0x20), (0xFFFF_8880_0000_0000, 0x40), (0x40, 0x40)]),
)


@st.composite
def streams(draw: st.DrawFn, pause_ns: int = 9_000_000) -> list[Event]:
    """Events in time order, at most `pause_ns` between two."""
    steps = [replace(step, ts=min(step.ts, pause_ns)) for step in draw(st.lists(EVENT, max_size=40))]
    steps = [draw(PAGE_END) if step.kind == Kind.PAGE_END else step for step in steps]
    times = np.cumsum([step.ts for step in steps]).tolist()
    events = [replace(step, ts=ts) for step, ts in zip(steps, times, strict=True)]
    return list({replace(event, cpu=0): event for event in events}.values())  # names are unique


# Two slabs of different size end at one time: the object lived in the one that ended first.
TWO_ENDS = [
    Event(0, 0x10, Kind.KMALLOC),
    Event(1, 0x00, Kind.PAGE_END, bytes_req=0, bytes_alloc=0x40),
    Event(1, 0x00, Kind.PAGE_END, bytes_req=0, bytes_alloc=0x20),
]


@settings(max_examples=max(600, settings().max_examples))
@example(events=TWO_ENDS, cuts=[], chunk_events=1, kernel={})
@given(
    events=streams(LONG),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    chunk_events=st.sampled_from([1, 3, 7, 100]),
    kernel=st.sampled_from([{}, {"free_traced_after": True}, {"preemptible": True}]),
)
def test_any_stream_in_any_batches_is_paired_as_by_the_reference(
    events: list[Event], cuts: list[int], chunk_events: int, kernel: dict[str, bool]
) -> None:
    expected = reference(events, **kernel)
    out = vectorised(events, cuts, chunk_events, **kernel)
    expected.peak, out.peak = +expected.peak, +out.peak
    assert out == expected
