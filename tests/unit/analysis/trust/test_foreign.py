# SPDX-License-Identifier: Apache-2.0
"""What recordings of other tools can support, by the facts that the manifest has."""

from __future__ import annotations

import pytest

from slabtrace.analysis.trust.foreign import collisions, known_losses, limits, refusals, seen_all
from slabtrace.trace.format.foreign import Foreign
from slabtrace.trace.manifest import Manifest, Totals

ALL = {"kmalloc": 9, "kfree": 9, "kmem_cache_alloc": 9, "kmem_cache_free": 9}


def refused(kinds: dict[str, int], null_frees: int = 0, **facts: object) -> list[str]:
    foreign = Foreign(tool="ftrace", kinds=kinds, **facts)
    return refusals(Manifest(foreign=foreign, totals=Totals(null_frees=null_frees)))


def test_a_recording_of_slabtrace_is_never_refused() -> None:
    assert refusals(Manifest()) == []
    assert limits(Manifest()) == []


@pytest.mark.parametrize(
    "kinds",
    [
        {"kmalloc": 9},
        {"kmem_cache_alloc_node": 9},
        {"kmalloc": 9, "kmem_cache_alloc": 9, "kfree": 0},
        {"kmalloc": 9, "kmem_cache_free": 9},  # no kfree
        {"kmalloc": 9, "kfree": 9, "kmem_cache_alloc": 9},  # kfree can free these, but others do as a rule
    ],
)
def test_no_frees(kinds: dict[str, int]) -> None:
    assert "nothing can be said of leaks" in refused(kinds)[0]


def test_frees_of_null_alone_are_no_frees() -> None:
    assert refused({"kmalloc": 9, "kfree": 3}, null_frees=3) != []
    assert refused({"kmalloc": 9, "kfree": 4}, null_frees=3) == []


@pytest.mark.parametrize(
    "kinds", [ALL, {"kmalloc": 9, "kfree": 1}, {"kfree": 9}, {"kmem_cache_alloc": 9, "kmem_cache_free": 1}]
)
def test_frees_of_each_kind(kinds: dict[str, int]) -> None:
    assert refused(kinds) == []


def test_frees_that_were_recorded_and_did_not_occur() -> None:
    assert refused({"kmalloc": 9}, enabled=["kmalloc", "kfree"]) == []
    assert refused({"kmalloc": 9}, enabled=["kmalloc"]) != []


def test_a_sample_of_the_events() -> None:
    assert "nothing can be said of leaks" in refused(ALL, sampled=True)[0]


@pytest.mark.parametrize(
    ("tool", "clock", "cpus", "doubtful"),
    [("ftrace", "", 4, True), ("trace-cmd", "local", 4, True), ("trace-cmd", "mono", 4, False),
     ("ftrace", "", 1, False), ("perf", "perf", 4, False), ("LTTng", "", 4, False)],
)  # fmt: skip
def test_clocks_that_do_not_compare(tool: str, clock: str, cpus: int, doubtful: bool) -> None:
    said = limits(Manifest(foreign=Foreign(tool=tool, clock=clock, cpus=cpus)))
    assert any("Times may not compare between CPUs" in each for each in said) is doubtful


def test_missing_cpus() -> None:
    (why,) = refused(ALL, cpus=4, cpus_missing=[0, 1, 3])
    assert why.startswith("3 of 4 CPUs are missing (0, 1, 3)")


def test_the_sentences_on_losses() -> None:
    assert known_losses(Foreign(lost=1)) == "1 event was lost"
    assert known_losses(Foreign(lost=673, gaps=2)) == "673 events were lost, and 2 gaps are of unknown size"
    assert known_losses(Foreign(overwritten=15)) == "15 older events were overwritten"
    assert known_losses(Foreign()) == ""


@pytest.mark.parametrize(
    ("facts", "known"),
    [({"losses": "none"}, True), ({"losses": "known", "lost": 5}, True), ({"losses": "unknown"}, False),
     ({"losses": "known", "gaps": 1}, False), ({"losses": "none", "cpus_missing": [1]}, False)],
)  # fmt: skip
def test_whether_a_missed_leak_can_be_excluded(facts: dict[str, object], known: bool) -> None:
    assert seen_all(Manifest(foreign=Foreign(**facts))) is known


def test_hashed_pointers_collide() -> None:
    assert collisions(Foreign(pointers="addresses", peak=10**6), 0) == ""
    assert "about 1.2 collisions among 100,000 objects" in collisions(
        Foreign(pointers="hashed", peak=100_000), 5
    )
    assert "about 0 collisions" in collisions(Foreign(pointers="hashed"), 9)
