# SPDX-License-Identifier: Apache-2.0
"""Mismatches reported while recording, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from slabtrace.analysis.mismatches import live
from slabtrace.analysis.mismatches.live import LiveFinding, LiveMismatches
from slabtrace.analysis.mismatches.object_layout import Shape
from slabtrace.trace.format.schema import Flag, Kind
from slabtrace.trace.manifest import Coverage, Host, Manifest, Unattached
from tests.unit.synthetic import START, Event, alloc, free, intern

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
    """What is said of `events`, cut into `batches` of one length."""
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
def test_each_kind_is_told_once(batches: int) -> None:
    assert sorted(reported(new(), GONE_WRONG, batches)) == [
        LiveFinding("double-free", OBJECT, 0xC0, 0x333, 9),
        LiveFinding("invalid-free", OBJECT + 8, 0xC0, 0x444, 7),
        LiveFinding("wrong-cache-free", OTHER, 0xC0, 0x555, 7),
    ]


def test_it_is_told_with_the_batch_it_came_in() -> None:
    watch = new()
    batch, sites = intern(GONE_WRONG[:3])
    watch.add_sites(sites)
    said = [len(list(watch.add(batch.take(slice(at, at + 1)), SHAPES))) for at in range(3)]
    assert said == [0, 0, 1]


def test_what_follows_a_lost_allocation_is_no_double_free() -> None:
    """It is known to be lost when the second free comes; both may be much later."""
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


def test_where_allocations_go_unseen_two_frees_prove_nothing() -> None:
    assert {finding.kind for finding in reported(new(allocs_seen=False), GONE_WRONG)} == {"invalid-free"}


def test_what_no_program_judged_is_left_to_the_analysis() -> None:
    """An odd address may be an object of KFENCE's."""
    kinds = {finding.kind for finding in reported(new(judged=False), GONE_WRONG)}
    assert kinds == {"double-free", "wrong-cache-free"}


def test_under_load_it_is_silent_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation may have been in the batch that was left out."""
    monkeypatch.setattr(live, "MOST_EVENTS", 2)
    watch = new()
    burst = [alloc(3, OTHER), free(4, OTHER), alloc(5, OBJECT)]
    batch, sites = intern([alloc(1, OBJECT), free(2, OBJECT), *burst, free(6, OBJECT), free(7, OTHER)])
    watch.add_sites(sites)
    cuts = [batch.take(slice(*cut)) for cut in ((0, 2), (2, 5), (5, 7))]
    assert [list(watch.add(cut, SHAPES)) for cut in cuts] == [[], [], []]
    assert watch.skipped == 1
