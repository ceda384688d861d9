# SPDX-License-Identifier: Apache-2.0
"""The programs of the silent paths on made-up arguments (BPF_PROG_TEST_RUN), whether this kernel lets them
attach or not: what they read is what a trampoline would have put there.

A bulk call's array must lie in kernel memory: any struct kmem_cache is taken for one, whose words are known.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slabtrace.capture.host import possible_cpus
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import examine
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.programs import silent_paths
from slabtrace.capture.programs.compiler import compile_bpf
from slabtrace.capture.programs.kfuncs import Kfuncs
from slabtrace.capture.programs.layout import header_numbers
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.session import Session
from slabtrace.capture.sizing import ring_geometry
from slabtrace.capture.stream.rings import Rings
from slabtrace.trace.format.schema import Kind
from tests.live.whole_events import WholeEvents

FUNCTION, CALLER, FRAME, NONE = 0xFFFFFFFF81200000, 0xFFFFFFFF81765432, 0xFFFFC90000123456, 0
OBJECT, CACHE = 0xFFFF888000123400, 0xFFFF888100000000
CALLED = [FRAME, FUNCTION + 9, CALLER]  # above the arguments: where the function begins with endbr64
JUMPED = [NONE, FRAME, CALLER]  # (return value,) frame, caller: 7.x, watched at its exit
BULK_MAX = header_numbers("silent.h")["BULK_MAX"]
NESTED_LANES = header_numbers("ring.h")["NESTED_LANES"]


class Harness:
    """The programs of all silent paths, loaded, attached to nothing."""

    def __init__(self, array: int, words: list[int], cpus: int | None = None, **defines: int) -> None:
        types, options = Btf(), CaptureOptions(stacks="none")
        geometry = replace(ring_geometry(1), cpus=cpus or possible_cpus())
        self.array, self.words = array, words
        numbers: dict[str, Any] = {"NOLOCK_ARGUMENTS": 4, "TRAMPOLINE_OF_X86": None}
        for path in silent_paths.PATHS:
            numbers |= {f"SILENT_{path.name}": None, f"FUNCTION_{path.name}": f"{FUNCTION:#x}ull"}
            numbers |= {f"OUTER_{path.name}": 0, f"SIZE_{path.name}": 0}
        kfuncs = Kfuncs(types)
        numbers |= examine(types).defines() | geometry.defines() | options.defines() | kfuncs.defines()
        numbers |= defines
        types.close()
        self.programs = Programs(compile_bpf(numbers), kfuncs)
        self.rings = Rings(self.programs, geometry)
        self._events = WholeEvents(self.rings)

    def run(self, path: str, *words: int) -> np.ndarray[Any, Any]:
        """The events that a call with these words (arguments, and what lies above) leaves in the rings."""
        self.programs.run_once(f"on_{path}", [word % (1 << 64) for word in words])
        return self._events.drained()

    def count(self, counter: str = "dropped") -> int:
        return int(self.rings.counters()[counter].sum())


@pytest.fixture(scope="module")
def new() -> Iterator[Callable[..., Harness]]:
    session = Session(CaptureOptions(stacks="none", buffer_mib=1))
    array = session.caches.all()[0].address
    raw = session.walk.read(array, 8 * 2 * BULK_MAX)
    session.close()
    assert raw is not None
    words = list(struct.unpack(f"<{len(raw) // 8}Q", raw))
    made: list[Harness] = []

    def make(**defines: int) -> Harness:
        made.append(Harness(array, words, **defines))
        return made[-1]

    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # the rings are per CPU
    yield make
    os.sched_setaffinity(0, cpus)
    for harness in made:
        harness.programs.close()


@pytest.fixture(scope="module")
def harness(new: Callable[..., Harness]) -> Harness:
    return new()


def objects(words: list[int]) -> list[int]:
    return [word for word in words if word > 16]


def test_each_object_of_a_bulk_free(harness: Harness) -> None:
    events = harness.run("kmem_cache_free_bulk", CACHE, 23, harness.array, *CALLED)
    assert events["ptr"].tolist() == objects(harness.words[:23])
    assert set(events["kind"].tolist()) == {Kind.BULK_FREE}
    assert set(events["cache"].tolist()) == {CACHE}
    assert set(events["call_site"].tolist()) == {CALLER}


@pytest.mark.parametrize("above", [[23, *CALLED], [23, *JUMPED[1:]]], ids=["called", "jumped"])
def test_each_object_of_a_bulk_allocation(harness: Harness, above: list[int]) -> None:
    events = harness.run("kmem_cache_alloc_bulk", CACHE, 0xCC0, 23, harness.array, *above)
    assert events["ptr"].tolist() == objects(harness.words[:23])
    assert set(events["kind"].tolist()) == {Kind.BULK_ALLOC}
    assert set(zip(events["gfp_flags"].tolist(), events["call_site"].tolist(), strict=True)) == {
        (0xCC0, CALLER)
    }


@pytest.mark.parametrize(("returned", "defines", "count"), [
    (0, {}, 0), (7, {}, 7), (0xDEAD_0000_0007, {}, 7),
    (0xDEAD_BE00, {"BULK_ALLOC_RETURNS_BOOL": 1}, 0), (0xDEAD_BE01, {"BULK_ALLOC_RETURNS_BOOL": 1}, 23),
])  # fmt: skip
def test_what_a_bulk_allocation_returns(
    new: Callable[..., Harness], returned: int, defines: dict[str, int], count: int
) -> None:
    """An int in the lower half of the word; in 7.x a bool, in its lowest byte."""
    harness = new(**defines)
    events = harness.run("kmem_cache_alloc_bulk", CACHE, 0, 23, harness.array, returned, *CALLED)
    assert events["ptr"].tolist() == objects(harness.words[:count])


def test_more_objects_than_the_verifier_takes_are_counted_as_lost(harness: Harness) -> None:
    before, lost = harness.count("bulk_rest"), harness.rings.lost
    events = harness.run("kmem_cache_free_bulk", CACHE, BULK_MAX + 36, harness.array, *CALLED)
    assert events["ptr"].tolist() == objects(harness.words[:BULK_MAX])
    assert harness.count("bulk_rest") - before == harness.rings.lost - lost == 36


def test_a_ring_that_is_full_in_the_middle_of_a_bulk_call(new: Callable[..., Harness]) -> None:
    harness, bulk = new(), 23
    call = [CACHE, bulk, harness.array, *CALLED]
    places = [i for i, word in enumerate(harness.words[:bulk]) if objects([word])]
    whole, rest = divmod(harness.rings.geometry.irq_slots, len(places))
    for _ in range(whole):
        harness.programs.run_once("on_kmem_cache_free_bulk", call, cpu=0)
    assert harness.rings.lost == 0
    harness.programs.run_once("on_kmem_cache_free_bulk", call, cpu=0)
    assert harness.count() == harness.rings.lost == bulk - (places[rest - 1] + 1 if rest else 0)


def test_every_object_of_a_bulk_call_without_a_lane_is_lost(new: Callable[..., Harness]) -> None:
    harness = new()
    busy = harness.rings._states["busy"]
    busy[:, NESTED_LANES:] = 1
    assert len(harness.run("kmem_cache_free_bulk", CACHE, 23, harness.array, *CALLED)) == 0
    assert harness.count("too_deep") == harness.rings.lost == 23


def test_events_on_a_cpu_without_a_ring_are_counted(new: Callable[..., Harness]) -> None:
    """As on one that comes online while recording."""
    other = possible_cpus() - 1
    if other == 0:
        pytest.skip("this machine has one CPU")
    harness = new(cpus=1)
    harness.programs.run_once("on_kfree_nolock", [OBJECT, *CALLED], cpu=other)
    harness.programs.run_once("on_kmem_cache_free_bulk", [CACHE, 23, harness.array, *CALLED], cpu=other)
    assert harness.count("without_ring") == harness.rings.lost == 24
    harness.programs.run_once("on_kfree_nolock", [OBJECT, *CALLED], cpu=0)
    assert harness.count("head") == 1 and harness.rings.lost == 24


def test_the_end_of_a_cache(harness: Harness) -> None:
    (event,) = harness.run("cache_end", CACHE)
    assert (event["kind"], event["ptr"]) == (header_numbers("event.h")["SLAB_CACHE_END"], CACHE)
    assert event["ts_ns"] <= time.monotonic_ns()


def test_a_batch_of_kfree_rcu_was_told_of_before(harness: Harness) -> None:
    before = harness.count()
    assert len(harness.run("kmem_cache_free_bulk", NONE, BULK_MAX + 1, harness.array, *CALLED)) == 0
    assert harness.count() == before


def test_kfree_rcu_by_its_two_prototypes(new: Callable[..., Harness], harness: Harness) -> None:
    """(head, offset of head, or the object if head is NULL) up to 6.3; (head, object) from 6.4 on."""
    for head, second, above in ((OBJECT + 24, 24, CALLED), (NONE, OBJECT, CALLED)):
        (event,) = harness.run("kvfree_call_rcu", head, second, *above)
        assert (event["ptr"], event["kind"], event["call_site"]) == (OBJECT, Kind.KFREE_RCU, CALLER)
    (event,) = new(KVFREE_RCU_HAS_PTR=1).run("kvfree_call_rcu", OBJECT + 24, OBJECT, *CALLED)
    assert event["ptr"] == OBJECT


def test_the_nolock_variants(harness: Harness) -> None:
    (event,) = harness.run("kmalloc_nolock", 61, 0xCC0, -1, NONE, OBJECT, *CALLED)
    assert (event["ptr"], event["kind"], event["bytes_req"]) == (OBJECT, Kind.NOLOCK_ALLOC, 61)
    assert (event["gfp_flags"], event["node"], event["call_site"]) == (0xCC0, -1, CALLER)
    for path, arguments in (("kfree_nolock", [OBJECT]), ("kfree_call_rcu_nolock", [OBJECT + 24, OBJECT])):
        (event,) = harness.run(path, *arguments, *CALLED)
        assert (event["ptr"], event["kind"], event["call_site"]) == (OBJECT, Kind.NOLOCK_FREE, CALLER)


def test_a_failed_allocation_is_no_event(harness: Harness) -> None:
    assert len(harness.run("kmalloc_nolock", 61, 0xCC0, -1, NONE, NONE, *CALLED)) == 0


def test_a_free_to_the_wrong_cache(new: Callable[..., Harness]) -> None:
    (event,) = new(WRONG_CACHE_NAMED=1).run("wrong_cache_free", CACHE, OBJECT, *CALLED)
    assert (event["ptr"], event["kind"], event["cache"]) == (OBJECT, Kind.WRONG_CACHE_FREE, CACHE)
    assert event["call_site"] == CALLER


def test_another_complaint_of_the_allocator_is_none(harness: Harness) -> None:
    """print_tracking, called by anything but kmem_cache_free."""
    assert len(harness.run("wrong_cache_free", CACHE, OBJECT, *CALLED)) == 0
