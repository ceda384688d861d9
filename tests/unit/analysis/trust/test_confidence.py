# SPDX-License-Identifier: Apache-2.0
"""The confidence of findings: each kind of loss, paths that are not traced, bounds by the kernel's count."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slabtrace
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.confidence import Proof
from slabtrace.analysis.trust.losses import SLACK_NS, Losses
from slabtrace.trace.format import schema
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind, Loss
from slabtrace.trace.manifest import Coverage, Host, Manifest, Totals, Unattached
from tests.unit.synthetic import START, Event, alloc, free, page_end, write_trace

S = 1_000_000_000
# Three objects of one group, allocated in the seconds 1, 4 and 7 of ten; a fourth is allocated and freed.
EVENTS = [alloc(1 * S, 0x1000), alloc(2 * S, 0x2000), free(3 * S, 0x2000), alloc(4 * S, 0x3000)]
EVENTS += [alloc(7 * S, 0x4000)]


def loss(second: int, kind: Loss, count: int = 1, program: str = "") -> dict[str, Any]:
    begin = START + second * S
    numbers = {"begin_ns": begin, "end_ns": begin + S // 10, "cpu": -1, "count": count}
    return {**numbers, "kind": kind, "program": program}


def claim(folder: Path, events: list[Event] = EVENTS, losses: Any = (), **of: Any) -> tuple[str, int | None]:
    """(confidence, maybe_freed) of the one group of a recording of ten seconds."""
    tables = {"losses": list(losses), "slabinfo": of.pop("slabinfo", [])}
    tables |= {"caches": [CACHE], "slabs": of.pop("slabs", [])}
    path = write_trace(folder / "t", events, tables, manifest=Manifest(status="complete", **of), seconds=10)
    (group,) = slabtrace.open(path).outstanding("cache").to_dict("records")
    return group["confidence"], None if group["maybe_freed"] is pa.NA else group["maybe_freed"]


CACHE = {"cache": 0xC0, "name": "it", "aliases": [], "object_size": 64, "size": 64, "slab_flags": 0}
CACHE |= {"order": 0, "objects_per_slab": 64, "reclaimable": False, "first_seen_ns": 0}


def test_without_losses_and_with_all_paths_traced_it_is_exact(tmp_path: Path) -> None:
    assert claim(tmp_path) == ("exact", 0)


@pytest.mark.parametrize("kind", [Loss.RING_FULL, Loss.NESTING, Loss.RECURSION, Loss.LATE])
@pytest.mark.parametrize(
    ("second", "count", "expected"),
    [
        (0, 1, ("bounded", 1)),  # within a second of the first allocation: counters are read late
        (1, 1, ("bounded", 1)),
        (1, 9, ("bounded", 1)),  # one object could have been freed
        (5, 1, ("bounded", 1)),
        (5, 9, ("bounded", 2)),
        (8, 2, ("bounded", 2)),
        (8, 9, ("bounded", 3)),
    ],
)
def test_a_lost_event_may_have_freed_what_was_allocated_before(
    tmp_path: Path, kind: Loss, second: int, count: int, expected: tuple[str, int]
) -> None:
    assert claim(tmp_path, losses=[loss(second, kind, count)]) == expected


def test_what_was_lost_before_an_allocation_cannot_have_been_its_free(tmp_path: Path) -> None:
    assert claim(tmp_path, EVENTS[3:], [loss(1, Loss.RING_FULL, 1000)]) == ("exact", 0)


def test_a_lost_stack_is_not_a_lost_free(tmp_path: Path) -> None:
    assert claim(tmp_path, losses=[loss(5, Loss.STACK, 9)]) == ("exact", 0)


def test_a_loss_without_a_time_may_be_at_any_time(tmp_path: Path) -> None:
    assert claim(tmp_path, totals=Totals(dropped=2)) == ("bounded", 2)
    assert claim(tmp_path / "2", totals=Totals(recursion_missed=1)) == ("bounded", 1)


def test_a_twin_that_was_not_skipped_recovered_the_event(tmp_path: Path) -> None:
    twins = Coverage(twins=["kfree_twin"])
    first, twin = loss(5, Loss.RECURSION, 3, "kfree"), loss(5, Loss.RECURSION, 1, "kfree_twin")
    assert claim(tmp_path / "1", losses=[first], coverage=twins) == ("exact", 0)
    assert claim(tmp_path / "2", losses=[first, twin], coverage=twins) == ("bounded", 1)
    assert claim(tmp_path / "3", losses=[first]) == ("bounded", 2)  # no twin: two objects existed


@pytest.mark.parametrize(
    ("second", "expected"), [(None, ("exact", 0)), (1, ("exact", 0)), (5, ("bounded", 1))]
)
def test_a_duplicate_may_hide_a_missed_free_only_after_its_program_was_skipped(
    tmp_path: Path, second: int | None, expected: tuple[str, int]
) -> None:
    """If the program missed it, a duplicate is a second allocation, and a free was missed before it."""
    again = alloc(4 * S + S // 2, 0x3000, flags=Flag.RECOVERED)
    losses = [] if second is None else [loss(second, Loss.RECURSION, 1, "kmalloc")]
    twins = Coverage(twins=["kmalloc_twin"], programs_preemptible=True)
    events = [EVENTS[3], again, EVENTS[4]]
    assert claim(tmp_path, events, losses, coverage=twins) == expected


def test_a_skipped_program_of_allocations_loses_no_free(tmp_path: Path) -> None:
    assert claim(tmp_path, losses=[loss(5, Loss.RECURSION, 9, "mm_page_free")]) == ("exact", 0)


def sample(second: float, active: int) -> dict[str, Any]:
    numbers = {"num_objs": 128, "objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 2}
    return {"ts_ns": START + int(second * S), "name": "it", "active_objs": active, **numbers}


def untraced(*paths: str) -> Coverage:
    return Coverage(unattached=[Unattached(path, "refused") for path in paths])


BULK_FREE = untraced("kmem_cache_free_bulk")
HOST = Host(cpus=2, release="6.1.0")
# As in mm/slub.c, on 2 CPUs: 64 on a CPU's slab, 2 * 120 on its partial list, rounded up to slabs.
PARKED = 2 * (64 + 2 * 120 + 64)


def many(outstanding: int) -> list[Event]:
    return [alloc(1 * S + i, 0x1000 + 64 * i) for i in range(outstanding)]


@pytest.mark.parametrize("path", ["kmem_cache_free_bulk", "kvfree_call_rcu", "kfree_nolock", "who_knows"])
def test_an_untraced_free_path_may_hide_any_number(tmp_path: Path, path: str) -> None:
    assert claim(tmp_path, coverage=untraced(path)) == ("unprovable", None)


@pytest.mark.parametrize("path", ["kmem_cache_alloc_bulk", "kmalloc_nolock"])
def test_an_untraced_allocation_path_hides_no_free(tmp_path: Path, path: str) -> None:
    assert claim(tmp_path, coverage=untraced(path)) == ("exact", 0)


@pytest.mark.parametrize(
    ("kernel", "expected"), [(2000, PARKED), (1990, PARKED + 10), (2500, PARKED), (0, 2000)]
)
def test_the_kernels_count_bounds_the_silent_frees(tmp_path: Path, kernel: int, expected: int) -> None:
    slabinfo = [sample(0, 100), sample(10, 100 + kernel)]
    found = claim(tmp_path, many(2000), slabinfo=slabinfo, coverage=BULK_FREE, host=HOST)
    assert found == ("bounded", expected)


def test_events_that_slabinfo_may_not_include_widen_the_bound(tmp_path: Path) -> None:
    slabinfo = [sample(0, 100), sample(10, 2105)]
    events = [*many(2000), *(alloc(10 * S - 1 - i, 0x900000 + 64 * i) for i in reversed(range(5)))]
    found = claim(tmp_path, events, slabinfo=slabinfo, coverage=BULK_FREE, host=HOST)
    assert found == ("bounded", PARKED + 5)


@pytest.mark.parametrize(
    "of",
    [
        {"coverage": untraced("kmem_cache_free_bulk", "kmem_cache_alloc_bulk")},  # silent allocations
        {"options": {"pid": 5}},  # the kernel counts the objects of all tasks
        {"slabinfo": []},
    ],
)
def test_the_kernels_count_is_no_bound_where_it_counts_other_objects(
    tmp_path: Path, of: dict[str, Any]
) -> None:
    account = {"slabinfo": [sample(0, 100), sample(10, 2100)], "coverage": BULK_FREE, "host": HOST}
    assert claim(tmp_path, many(2000), **{**account, **of}) == ("unprovable", None)


def test_damaged_files_may_have_had_any_free(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t", EVENTS, seconds=10)
    segment = path / "events" / "00000.arrow"
    segment.write_bytes(segment.read_bytes()[:-1])
    assert set(slabtrace.open(path).outstanding()["confidence"]) == {"unprovable"}


@pytest.mark.parametrize(("lost", "expected"), [(0, ("unprovable", None)), (1, ("bounded", 1))])
def test_a_missed_free_without_a_loss_makes_findings_unverified(
    tmp_path: Path, lost: int, expected: tuple[str, int | None]
) -> None:
    missed = [*EVENTS[:3], alloc(3 * S + 1, 0x5000), page_end(3 * S + 2, 0x5000, 64), *EVENTS[3:]]
    losses = [loss(8, Loss.RING_FULL, lost)] if lost else []
    assert claim(tmp_path, missed, losses) == expected


def test_only_the_cache_with_the_missed_free_is_unverified(tmp_path: Path) -> None:
    other = [alloc(8 * S, 0x9000, cache=0xC1), alloc(9 * S, 0x9000, cache=0xC1)]
    path = write_trace(tmp_path / "t", [*EVENTS, *other], seconds=10)
    found = slabtrace.open(path).outstanding("cache").set_index("cache")["confidence"]
    assert found.to_dict() == {"(cache at 0xc0)": "exact", "(cache at 0xc1)": "unprovable"}


@given(
    objects=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    lost=st.lists(st.integers(0, 9), max_size=4),
)
def test_the_bound_is_the_largest_matching_of_objects_and_losses(objects: list[int], lost: list[int]) -> None:
    """Compared with trying all: the largest set of objects that the losses can have freed, one each."""
    rows = [{**loss(0, Loss.RING_FULL), "end_ns": second * S - SLACK_NS} for second in lost]
    losses = Losses(pa.Table.from_pylist(rows, schema.LOSSES), Manifest(), 0)
    ts_ns = np.array(objects, np.int64) * S
    none, rows_of_zero = np.zeros(len(objects), np.intp), np.zeros(1, np.intp)
    live = EventBatch(ts_ns, *(none.astype(kind) for kind in ("u8", "u4", "u4", "u2")))
    unasked = SlabStates(schema.SLABS.empty_table())
    proof = Proof(unasked, losses, rows_of_zero, np.zeros(1, np.int8))
    (found,) = proof.bounds(live, none, rows_of_zero).maybe_freed.tolist()
    assert found == max(n for n in range(len(objects) + 1) if _possible(objects, lost, n))


def _possible(objects: list[int], lost: list[int], n: int) -> bool:
    """Whether n objects can have been freed by n different losses, each after its allocation."""
    return any(
        all(loss > alloc for alloc, loss in zip(sorted(chosen), sorted(freed), strict=True))
        for chosen in combinations(objects, n)
        for freed in combinations(lost, n)
    )


# The slab at 0x1000 in second 9: 64 objects of 0x1000 bytes each, some of them free.
def slab(*free_at: int, second: int = 9) -> list[dict[str, Any]]:
    bits = np.zeros(64, np.bool_)
    bits[[address // 0x1000 - 1 for address in free_at]] = True
    row = {"ts_ns": START + second * S, "slab": 0x1000, "cache": 0xC0, "stride": 0x1000, "objects": 64}
    return [row | {"free": np.packbits(bits, bitorder="little").tobytes()}]


EVERYTHING_FREE = range(0x5000, 0x41000, 0x1000)  # never allocated
RCU_FREES = untraced("kvfree_call_rcu")
BOTH_WAYS = untraced("kmem_cache_free_bulk", "kmem_cache_alloc_bulk")


def test_an_object_in_use_at_the_end_was_not_freed_silently(tmp_path: Path) -> None:
    held = slab(0x2000, *EVERYTHING_FREE)
    assert claim(tmp_path / "a", coverage=BULK_FREE) == ("unprovable", None)
    assert claim(tmp_path / "b", coverage=BULK_FREE, slabs=held) == ("exact", 0)


def test_an_object_that_waits_for_a_grace_period_is_still_in_use(tmp_path: Path) -> None:
    """In a cache without missed frees that is assumed not to happen; after a wait it is certain."""
    held = slab(0x2000, *EVERYTHING_FREE)
    assert claim(tmp_path / "a", coverage=RCU_FREES, slabs=held) == ("bounded", 0)
    settled = {"settle": True}
    assert claim(tmp_path / "b", coverage=RCU_FREES, slabs=held, options=settled) == ("exact", 0)


def test_after_one_missed_free_others_may_wait_for_a_grace_period(tmp_path: Path) -> None:
    """0x3000 was found free: objects of this cache are freed without being seen."""
    freed = slab(0x2000, 0x3000, *EVERYTHING_FREE)
    assert claim(tmp_path / "a", coverage=RCU_FREES, slabs=freed) == ("unprovable", None)
    settled = {"settle": True}
    assert claim(tmp_path / "b", coverage=RCU_FREES, slabs=freed, options=settled) == ("exact", 0)


def test_an_object_allocated_after_its_slab_was_read_may_be_freed(tmp_path: Path) -> None:
    early = slab(0x2000, *EVERYTHING_FREE, second=5)  # the third object was allocated in second 7
    assert claim(tmp_path, coverage=BULK_FREE, slabs=early) == ("bounded", 1)


def test_an_address_may_be_allocated_again_through_an_untraced_path(tmp_path: Path) -> None:
    """It is assumed not to happen in a cache without missed allocations, but the result is not exact."""
    held = slab(0x2000, *EVERYTHING_FREE)
    assert claim(tmp_path, coverage=BOTH_WAYS, slabs=held) == ("bounded", 0)


def test_a_missed_allocation_makes_the_assumption_invalid(tmp_path: Path) -> None:
    """The events freed 0x2000, but its slab has it in use: it was allocated without being seen."""
    held = slab(*EVERYTHING_FREE)
    assert claim(tmp_path, coverage=BOTH_WAYS, slabs=held) == ("unprovable", None)


def test_a_free_near_the_time_of_the_check_is_not_a_missed_allocation(tmp_path: Path) -> None:
    late = [*EVENTS, alloc(8 * S, 0x5000), free(9 * S - 1_000_000, 0x5000)]
    held = slab(0x2000, *EVERYTHING_FREE[1:])
    assert claim(tmp_path, late, coverage=BOTH_WAYS, slabs=held) == ("bounded", 0)


def test_two_lost_events_can_free_and_allocate_again(tmp_path: Path) -> None:
    """For every two lost events, one object in use at the end may be another object."""
    held, three = slab(0x2000, *EVERYTHING_FREE), [loss(8, Loss.RING_FULL, 3)]
    assert claim(tmp_path / "a", losses=three) == ("bounded", 3)
    assert claim(tmp_path / "b", losses=three, slabs=held) == ("bounded", 1)


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        ({"kfree": 99}, ("exact", 0)),
        ({"kmalloc": 99}, ("exact", 0)),
        ({"kmalloc": 99, "kfree": 2}, ("bounded", 2)),
        ({"kmalloc": 1, "kfree": 99}, ("bounded", 1)),
        ({"a_new_program": 3}, ("bounded", 1)),  # one of them was a free, one an allocation
    ],
)
def test_what_is_in_use_was_replaced_only_if_a_free_and_an_allocation_were_lost(
    tmp_path: Path, skipped: dict[str, int], expected: tuple[str, int]
) -> None:
    lost = [loss(8, Loss.RECURSION, count, program) for program, count in skipped.items()]
    assert claim(tmp_path, losses=lost, slabs=slab(0x2000, *EVERYTHING_FREE)) == expected


@pytest.mark.parametrize(("program", "maybe_freed"), [("kmalloc", 2), ("kfree", 0)])
def test_where_some_frees_are_not_traced_a_lost_allocation_alone_can_replace_it(
    tmp_path: Path, program: str, maybe_freed: int
) -> None:
    """Freed unseen, and then its address was allocated again by an event that was lost."""
    held = slab(0x2000, *EVERYTHING_FREE)
    lost = [loss(8, Loss.RECURSION, 2, program)]
    assert claim(tmp_path, coverage=BULK_FREE, losses=lost, slabs=held)[1] == maybe_freed


@pytest.mark.parametrize(
    ("program", "expected"), [("kmalloc", ("exact", 0)), ("kmem_cache_free", ("bounded", 2))]
)
def test_a_lost_allocation_freed_nothing(tmp_path: Path, program: str, expected: tuple[str, int]) -> None:
    assert claim(tmp_path, losses=[loss(8, Loss.RECURSION, 2, program)]) == expected


def test_an_object_that_its_slab_lists_as_free_is_not_outstanding(tmp_path: Path) -> None:
    folder = write_trace(
        tmp_path / "t",
        EVENTS,
        {"caches": [CACHE], "slabs": slab(0x2000, 0x3000, *EVERYTHING_FREE)},
        manifest=Manifest(status="complete", coverage=BOTH_WAYS),
        seconds=10,
    )
    trace = slabtrace.open(folder)
    (group,) = trace.outstanding("call_site").to_dict("records")
    assert (group["allocated"], group["freed"], group["outstanding"], group["in_use"]) == (4, 2, 2, 2)
    complete = trace.completeness()
    assert (complete.missed_frees_inferred, complete.found_free) == (1, 1)
    assert complete.verdict.endswith("All outstanding objects (2) are confirmed in use at the end.")


def test_a_kfree_rcu_is_a_seen_free(tmp_path: Path) -> None:
    rcu = [*EVENTS, free(8 * S, 0x4000, kind=Kind.KFREE_RCU)]
    assert claim(tmp_path, rcu) == ("exact", 0)
