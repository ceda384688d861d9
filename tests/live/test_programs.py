# SPDX-License-Identifier: Apache-2.0
"""Made-up events through the real programs (BPF_PROG_TEST_RUN): loaded, attached to nothing.

So the rings hold just what the test ran, and faults can be tried that would harm the kernel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.session import Session
from slabtrace.trace.format.schema import Flag, Kind
from tests.live.whole_events import WholeEvents

CALL_SITE, OBJECT = 0xFFFFFFFF81234567, 0xFFFF888000123400
SLOTS = 8192  # of 1 MiB, with twice as many repeats


class Harness:
    """A session whose programs run on made-up arguments."""

    def __init__(self, options: CaptureOptions) -> None:
        self.session = Session(options)
        self._events = WholeEvents(self.session.rings)

    def run(self, tracepoint: str, twin: bool = False, **arguments: int) -> None:
        """Run a program as if its tracepoint had fired; arguments by name, the rest 0."""
        places = self.session.shape.arguments[tracepoint]
        values = [0] * (max(places.values()) + 1)
        for name, value in ({"call_site": CALL_SITE} | arguments).items():
            if name in places:
                values[places[name]] = value
        self.session.programs.run_once(tracepoint + "_twin" * twin, values)

    def hit(self, tracepoint: str, **arguments: int) -> None:
        """One event as the kernel delivers it: to the program, then to its twin."""
        self.run(tracepoint, **arguments)
        self.run(tracepoint, twin=True, **arguments)

    def events(self) -> np.ndarray[Any, Any]:
        """What is in the rings now; they are emptied."""
        return self._events.drained()

    def count(self, name: str) -> int:
        """A counter of the programs, summed over CPUs."""
        return int(self.session.rings.counters()[name].sum())


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # the programs keep their state per CPU
    harness = Harness(CaptureOptions(stacks="none", buffer_mib=1))
    yield harness
    harness.session.close()
    os.sched_setaffinity(0, cpus)


@pytest.fixture(autouse=True)
def emptied(harness: Harness) -> None:
    harness.events()


def test_a_kmalloc_is_recorded_field_by_field(harness: Harness) -> None:
    harness.run("kmalloc", ptr=OBJECT, bytes_req=61, bytes_alloc=64, gfp_flags=0xCC0, node=-1 % (1 << 64))
    (event,) = harness.events()
    assert (event["kind"], event["ptr"], event["call_site"]) == (Kind.KMALLOC, OBJECT, CALL_SITE)
    assert (event["bytes_req"], event["bytes_alloc"], event["gfp_flags"]) == (61, 64, 0xCC0)
    assert (event["stack_id"], event["flags"] & Flag.RECOVERED) == (-1, 0)
    if "node" in harness.session.shape.arguments["kmalloc"]:
        assert event["node"] == -1


def test_each_kind(harness: Harness) -> None:
    for tracepoint in ("kmem_cache_alloc", "kfree", "kmem_cache_free"):
        harness.run(tracepoint, ptr=OBJECT)
    assert harness.events()["kind"].tolist() == [Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE]


def test_times_only_rise(harness: Harness) -> None:
    for _ in range(101):
        harness.run("kfree", ptr=OBJECT)
    times = harness.events()["ts_ns"]
    assert len(times) == 101 and (np.diff(times.astype(np.int64)) > 0).all()


@pytest.mark.parametrize("nothing", [0, 16])
def test_null_and_zero_size_ptr_are_counted_not_recorded(harness: Harness, nothing: int) -> None:
    before = harness.count("null_frees")
    harness.hit("kfree", ptr=nothing)
    assert len(harness.events()) == 0
    assert harness.count("null_frees") == before + 1


def test_a_failed_allocation_is_counted_not_recorded(harness: Harness) -> None:
    before = harness.count("failed_allocs")
    harness.hit("kmalloc", ptr=0, bytes_req=1 << 40)
    harness.hit("kmem_cache_alloc", ptr=0)
    assert len(harness.events()) == 0
    assert harness.count("failed_allocs") == before + 2


def test_a_request_beyond_32_bits_is_clamped(harness: Harness) -> None:
    harness.run("kmalloc", ptr=OBJECT, bytes_req=1 << 40, bytes_alloc=1 << 40)
    (event,) = harness.events()
    assert event["bytes_req"] == event["bytes_alloc"] == 0xFFFFFFFF


def test_the_cache_of_every_object_is_found_by_its_address(harness: Harness) -> None:
    """Any struct kmem_cache is itself an object of the cache called kmem_cache."""
    (owner,) = (c for c in harness.session.caches.all() if c.name == "kmem_cache")
    for cache in list(harness.session.caches.all())[:31]:
        harness.run("kfree", ptr=cache.address)
    events = harness.events()
    assert events["cache"].tolist() == [owner.address] * 31
    assert not events["flags"].any()


def test_an_address_that_is_no_memory_is_marked(harness: Harness) -> None:
    harness.run("kfree", ptr=0xDEAD_0000_0000)
    (event,) = harness.events()
    assert (event["cache"], event["flags"]) == (0, Flag.CACHE_UNKNOWN)


def test_an_event_both_programs_see_is_recorded_once(harness: Harness) -> None:
    for number in range(23):
        harness.hit("kfree", ptr=OBJECT + 64 * number)
    events = harness.events()
    assert len(events) == 23 and not (events["flags"] & Flag.RECOVERED).any()


def test_an_event_the_first_program_missed_is_recovered(harness: Harness) -> None:
    before = harness.count("recovered")
    harness.run("kfree", twin=True, ptr=OBJECT)
    (event,) = harness.events()
    assert event["flags"] & Flag.RECOVERED
    assert harness.count("recovered") == before + 1


def test_an_event_between_program_and_twin_disturbs_neither(harness: Harness) -> None:
    """An interrupt: the outer event's program, the inner event whole, the outer event's twin."""
    harness.run("kmem_cache_free", ptr=OBJECT)
    harness.hit("kmem_cache_free", ptr=OBJECT + 512)
    harness.hit("kfree", ptr=OBJECT + 1024)
    harness.run("kmem_cache_free", twin=True, ptr=OBJECT)
    events = harness.events()
    assert events["ptr"].tolist() == [OBJECT, OBJECT + 512, OBJECT + 1024]
    assert not (events["flags"] & Flag.RECOVERED).any()


def test_an_event_whose_twin_was_skipped_leaves_no_trouble(harness: Harness) -> None:
    """It arrived while the twin ran: its first program left word, its twin never came for it."""
    harness.run("kfree", ptr=OBJECT)
    harness.run("kfree", ptr=OBJECT + 512)  # its twin is skipped
    harness.run("kfree", twin=True, ptr=OBJECT)
    harness.hit("kfree", ptr=OBJECT + 1024)
    harness.run("kfree", twin=True, ptr=OBJECT + 512)  # a later event there that only the twin sees
    events = harness.events()
    assert events["ptr"].tolist() == [OBJECT, OBJECT + 512, OBJECT + 1024, OBJECT + 512]
    assert (events["flags"] & Flag.RECOVERED).tolist() == [0, 0, 0, Flag.RECOVERED]


def test_a_free_does_not_pass_for_the_allocation_of_its_address(harness: Harness) -> None:
    harness.run("kmalloc", ptr=OBJECT, bytes_req=8, bytes_alloc=8)  # twin skipped
    harness.run("kfree", twin=True, ptr=OBJECT)  # only the twin sees the free
    assert harness.events()["kind"].tolist() == [Kind.KMALLOC, Kind.KFREE]


def test_a_full_ring_drops_and_counts(harness: Harness) -> None:
    before = harness.count("dropped")
    for _ in range(3 * SLOTS + 101):
        harness.run("kfree", ptr=OBJECT)
    assert harness.count("dropped") - before == 101
    assert len(harness.events()) == 3 * SLOTS
    harness.run("kfree", ptr=OBJECT)
    assert len(harness.events()) == 1, "a drained ring takes events again"


def test_what_differs_only_by_time_and_address_takes_no_slot(harness: Harness) -> None:
    """Three sites take turns within one page: each has one slot, and all events come out whole."""
    sites = [("kmalloc", CALL_SITE), ("kmem_cache_alloc", CALL_SITE), ("kmalloc", CALL_SITE + 7)]
    slots = harness.count("head")
    for i in range(307):
        for tracepoint, call_site in sites:
            harness.run(tracepoint, ptr=OBJECT + 8 * i, bytes_req=53, bytes_alloc=64, call_site=call_site)
    assert harness.count("head") - slots == len(sites)
    events = harness.events()
    assert events["kind"].tolist() == [Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KMALLOC] * 307
    assert events["call_site"].tolist() == [call_site for _, call_site in sites] * 307
    assert events["ptr"].tolist() == [OBJECT + 8 * i for i in range(307) for _ in sites]
    assert (events["tid"] == threading.get_native_id()).all() and (events["tgid"] == os.getpid()).all()


def test_a_site_whose_slot_is_far_back_takes_a_new_one(harness: Harness) -> None:
    slots = harness.count("head")
    harness.run("kmalloc", ptr=OBJECT, bytes_req=1, bytes_alloc=8)
    for size in range(2, SLOTS // 2 + 1):
        harness.run("kmalloc", ptr=OBJECT, bytes_req=size, bytes_alloc=8 * size)
    used = harness.count("head") - slots
    assert used == SLOTS // 2
    harness.run("kmalloc", ptr=OBJECT, bytes_req=1, bytes_alloc=8)
    assert harness.count("head") - slots == used + 1
    assert harness.events()["bytes_req"].tolist() == [*range(1, SLOTS // 2 + 1), 1]


def test_a_free_of_nothing_that_was_skipped_is_not_lost(harness: Harness) -> None:
    """Half of all kfrees are of NULL: the kernel counts those it skips, so the twin must know them too."""
    before = harness.count("recovered"), harness.count("null_frees")
    for ptr in (0, 16):  # NULL, ZERO_SIZE_PTR
        harness.hit("kfree", ptr=ptr)
    assert (harness.count("recovered"), harness.count("null_frees")) == (before[0], before[1] + 2)
    harness.run("kfree", twin=True, ptr=0)
    assert (harness.count("recovered"), harness.count("null_frees")) == (before[0] + 1, before[1] + 3)
    assert len(harness.events()) == 0
