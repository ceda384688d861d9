# SPDX-License-Identifier: Apache-2.0
"""Mismatches reported while recording: with the batch they are in, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from slabtrace.analysis.mismatches import live
from slabtrace.analysis.mismatches.live import LiveFinding, LiveMismatches
from slabtrace.analysis.mismatches.object_layout import ObjectLayout, Shape
from slabtrace.analysis.names.sites import Sites
from slabtrace.trace.format.schema import Flag, Kind
from slabtrace.trace.manifest import Coverage, Host, Manifest, Unattached
from tests.unit.synthetic import START, Event, alloc, free, intern, sites_of

SHAPES = {0xC0: Shape(size=208, order=1, red_left_pad=0)}
OBJECT = 0xFFFF888000126000 + 3 * 208
OTHER = OBJECT + 208
GONE_WRONG = [
    alloc(1, OBJECT),
    free(2, OBJECT),
    free(3, OBJECT, call_site=0x333, tid=9),  # again
    free(4, OBJECT + 8, call_site=0x444, flags=Flag.INTERIOR),
    free(5, OTHER, kind=Kind.WRONG_CACHE_FREE, call_site=0x555),
]


def reported(watch: LiveMismatches, events: Sequence[Event], batches: int = 1) -> list[LiveFinding]:
    """What is reported about `events`, divided into `batches` of equal length."""
    batch, sites = intern(events)
    watch.add_sites(sites)
    length = -(-batch.size // batches)
    cuts = (batch.take(slice(at, at + length)) for at in range(0, batch.size, length))
    return [finding for cut in cuts for finding in watch.add(cut, SHAPES)]


def new(allocs_seen: bool = True, judged: bool = True) -> LiveMismatches:
    untraced = [] if allocs_seen else [Unattached("kmem_cache_alloc_bulk", "no fentry")]
    coverage = Coverage(unattached=untraced, frees_judged=judged)
    return LiveMismatches(Manifest(host=Host(page_size=4096), coverage=coverage))


@pytest.mark.parametrize("batches", [1, 2, 5])
def test_each_kind_is_reported_once(batches: int) -> None:
    assert sorted(reported(new(), GONE_WRONG, batches)) == [
        LiveFinding("double-free", OBJECT, 0xC0, 0x333, 9),
        LiveFinding("invalid-free", OBJECT + 8, 0xC0, 0x444, 7),
        LiveFinding("wrong-cache-free", OTHER, 0xC0, 0x555, 7),
    ]


def test_a_mismatch_is_reported_with_its_batch() -> None:
    watch = new()
    batch, sites = intern(GONE_WRONG[:3])
    watch.add_sites(sites)
    said = [len(list(watch.add(batch.take(slice(at, at + 1)), SHAPES))) for at in range(3)]
    assert said == [0, 0, 1]


def test_frees_after_a_lost_allocation_are_not_a_double_free() -> None:
    """The loss is known when the second free arrives; both frees may be much later than the loss."""
    first, late, after = (100, 200, 300)
    watch = new()
    batch, sites = intern([alloc(1, OBJECT), free(first, OBJECT), free(late, OBJECT), free(after, OBJECT)])
    watch.add_sites(sites)
    assert not list(watch.add(batch.take(slice(0, 2)), SHAPES))
    watch.lost(START + 250)
    assert not list(watch.add(batch.take(slice(2, 3)), SHAPES))
    assert not list(watch.add(batch.take(slice(3, 4)), SHAPES))
    again, sites = intern([free(400, OBJECT, call_site=0x333)])
    watch.add_sites(sites)
    again = again._replace(site=again.site + len(watch.sites) - 1)
    assert [finding.kind for finding in watch.add(again, SHAPES)] == ["double-free"]


def test_what_the_kernel_says_itself_is_reported_whatever_was_lost() -> None:
    """On 7.x programs are skipped all the time; what a program or the allocator judged stays proved."""
    complaint = free(300, OBJECT + 64, kind=Kind.WRONG_CACHE_FREE)
    interior = free(400, OBJECT + 8, flags=Flag.INTERIOR)
    watch = new()
    batch, sites = intern([alloc(1, OBJECT), free(100, OBJECT), free(200, OBJECT), complaint, interior])
    watch.add_sites(sites)
    watch.lost(START + 500)
    assert [each.kind for each in watch.add(batch, SHAPES)] == ["wrong-cache-free", "invalid-free"]


def test_two_frees_are_not_reported_where_allocations_are_not_traced() -> None:
    assert {finding.kind for finding in reported(new(allocs_seen=False), GONE_WRONG)} == {"invalid-free"}


def test_frees_that_no_program_checked_are_left_to_the_analysis() -> None:
    """An odd address may belong to an object of KFENCE."""
    kinds = {finding.kind for finding in reported(new(judged=False), GONE_WRONG)}
    assert kinds == {"double-free", "wrong-cache-free"}


def test_new_sites_are_looked_at_once() -> None:
    """The work of a batch depends on the sites that are new with it, and not on all that there are."""
    watch, batches, layouts = new(), 40, []
    for number in range(batches):
        at = 1000 * number
        batch, sites = intern([alloc(at + i, OTHER, call_site=at + i) for i in range(25)])
        assert len(sites["kind"]) == 25
        batch = batch._replace(site=batch.site + len(watch.sites))
        watch.add_sites(sites)
        assert not list(watch.add(batch, SHAPES))
        layouts.append(watch.layout)
    assert all(each is layouts[0] for each in layouts), "else it was made anew"
    assert layouts[0] is not None and layouts[0].visited == len(watch.sites) == 25 * batches


def test_sites_that_come_one_by_one_have_the_layout_of_all_at_once() -> None:
    """Also the sites of a cache that becomes known after them."""
    shapes = {0xC0 + n: Shape(64 << n, n % 3, 64 * (n % 2)) for n in range(7)}
    events = [free(i, 0xFFFF888000100000 + 24 * i, cache=0xC0 + i % 8, call_site=i) for i in range(200)]
    batch, sites = intern(events)
    whole = ObjectLayout(shapes, sites_of(sites), 4096)
    growing = ObjectLayout({}, Sites(), 4096)
    for upto in (1, 2, 50, 200):
        part = sites_of({name: column[:upto] for name, column in sites.items()})
        growing.extend(shapes if upto > 2 else {}, part)
    assert growing.visited == whole.visited == 200
    assert growing.into(batch).tolist() == whole.into(batch).tolist()
    assert (whole.into(batch) > 0).any() and (whole.into(batch) == -1).any()


def test_under_load_batches_are_skipped_and_state_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The skipped batch may have had an allocation."""
    monkeypatch.setattr(live, "MOST_EVENTS", 2)
    watch = new()
    burst = [alloc(3, OTHER), free(4, OTHER), alloc(5, OBJECT)]
    batch, sites = intern([alloc(1, OBJECT), free(2, OBJECT), *burst, free(6, OBJECT), free(7, OTHER)])
    watch.add_sites(sites)
    cuts = [batch.take(slice(*cut)) for cut in ((0, 2), (2, 5), (5, 7))]
    assert [list(watch.add(cut, SHAPES)) for cut in cuts] == [[], [], []]
    assert watch.skipped == 1
