# SPDX-License-Identifier: Apache-2.0
"""Which mismatches the evidence supports, in hand-made recordings; the others have a cause and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slabtrace
from slabtrace.analysis.mismatches.support import CLOSE_NS, Unsupported, unsupported
from slabtrace.commands import main
from slabtrace.trace.format.schema import Kind, Loss
from slabtrace.trace.manifest import Coverage, Host, Manifest, Unattached
from tests.unit.synthetic import START, Event, alloc, free, write_trace

MS, S = 10**6, 10**9
F, G, RCU = 0x111, 0x222, 0x333  # call sites
UNTRACED = "allocations on paths that cannot be traced on this kernel (bulk allocation)"
BULK = Coverage(unattached=[Unattached("kmem_cache_alloc_bulk", "refused")])
WHOLE = Coverage()


def found(
    folder: Path, events: Sequence[Event], coverage: Coverage = BULK, options: Any = None, **tables: Any
) -> pd.DataFrame:
    """The mismatches in a trace of `events`."""
    manifest = Manifest(status="complete", host=Host(kfence=True), coverage=coverage, options=options or {})
    ordered = sorted(events, key=lambda event: event.ts)
    path = write_trace(folder / "t.slab", ordered, tables, manifest=manifest, seconds=10)
    return slabtrace.open(path).mismatches()


def judged(frame: pd.DataFrame) -> list[tuple[str, bool, str]]:
    """(kind, supported, explained_by) of each."""
    return list(frame[["kind", "supported", "explained_by"]].itertuples(index=False, name=None))


def freed_twice(ptr: int, at: int = MS, apart: int = MS, tids: Any = (7, 7, 7), **of: Any) -> list[Event]:
    """An object that is allocated, freed at F and freed again `apart` ns later, at G unless `second` says."""
    cpus, second = of.pop("cpus", (0, 0, 0)), of.pop("second", G)
    return [
        alloc(at, ptr, tid=tids[0], cpu=cpus[0], **of),
        free(at + MS, ptr, call_site=F, tid=tids[1], cpu=cpus[1], **of),
        free(at + MS + apart, ptr, call_site=second, tid=tids[2], cpu=cpus[2], **of),
    ]


def test_what_one_task_frees_twice_at_once_is_a_double_free(tmp_path: Path) -> None:
    frame = found(tmp_path, freed_twice(0x10))
    assert judged(frame) == [("double-free", True, "")]
    assert frame["confidence"].tolist() == ["unprovable"], "an untraced allocation could explain it"


@pytest.mark.parametrize(
    "of",
    [
        {"apart": CLOSE_NS},  # time enough to allocate it and to free it
        {"tids": (7, 8, 7)},  # another task freed it first
        {"tids": (8, 7, 7)},  # another task made it
        {"tids": (0, 0, 0)},  # idle tasks, or interrupts of them
        {"cpus": (0, 0, 1)},  # the task moved in between
        {"second": F},  # a loop that frees the objects it receives
    ],
    ids=lambda of: next(iter(of)),
)
def test_what_an_untraced_allocation_explains_is_not_supported(tmp_path: Path, of: dict[str, Any]) -> None:
    assert judged(found(tmp_path, freed_twice(0x10, **of))) == [("double-free", False, UNTRACED)]


def test_an_older_object_freed_twice_is_not_supported(tmp_path: Path) -> None:
    assert judged(found(tmp_path, freed_twice(0x10)[1:])) == [("double-free", False, UNTRACED)]


def test_other_second_frees_of_a_cache_show_that_its_allocations_are_missed(tmp_path: Path) -> None:
    rcu = freed_twice(0x20, apart=900 * MS, tids=(7, 0, 0), second=RCU)
    assert judged(found(tmp_path, freed_twice(0x10) + rcu)) == [("double-free", False, UNTRACED)] * 2


def test_other_caches_do_not_count(tmp_path: Path) -> None:
    rcu = freed_twice(0x20, apart=900 * MS, tids=(7, 0, 0), second=RCU, cache=0xD0)
    assert sorted(found(tmp_path, freed_twice(0x10, cache=0xC0) + rcu)["supported"]) == [False, True]


@pytest.mark.parametrize("option", ["pid", "comm", "cgroup", "min_size", "max_size", "budget"])
def test_what_filters_hide_is_not_supported(tmp_path: Path, option: str) -> None:
    frame = found(tmp_path, freed_twice(0x10), WHOLE, {option: 1})
    assert judged(frame) == [("double-free", False, "events left out on request")]


@pytest.mark.parametrize("options", [{"cache": ["kmalloc-*"]}, {"sample": 64}])
def test_what_is_left_out_whole_hides_no_allocation(tmp_path: Path, options: Any) -> None:
    """Of the chosen caches, or addresses, every event is in the trace."""
    frame = found(tmp_path, freed_twice(0x10, apart=S, tids=(7, 8, 9)), WHOLE, options)
    assert (frame["confidence"].tolist(), judged(frame)) == (["exact"], [("double-free", True, "")])


def lost(second: int, count: int, program: str = "", kind: int = Loss.RING_FULL) -> dict[str, Any]:
    """A row of the ledger: losses in the first tenth of a second."""
    times = {"begin_ns": START + second * S, "end_ns": START + second * S + S // 10}
    return {**times, "cpu": -1, "kind": kind, "program": program, "count": count}


def several(number: int, at: int = 4 * S) -> list[Event]:
    """As many objects, each freed twice within a second."""
    each = (freed_twice(0x1000 * (i + 1), at, S, (7, 8, 9)) for i in range(number))
    return [event for events in each for event in events]


@pytest.mark.parametrize(
    ("losses", "supported"),
    [
        ([], True),
        ([lost(4, 2)], True),  # two of the three, at most
        ([lost(4, 3)], False),
        ([lost(4, 1), lost(5, 2)], False),
        ([lost(1, 99)], True),  # all before
        ([lost(7, 99)], True),  # all after
        ([lost(4, 99, "kfree", Loss.RECURSION)], True),  # no allocations
        ([lost(4, 99, "kmalloc", Loss.RECURSION)], False),
        ([lost(4, 99, "a program of tomorrow", Loss.RECURSION)], False),
        ([lost(7, 99, kind=Loss.LATE)], False),  # stored late, so it may have happened before
    ],
)
def test_lost_events_explain_as_many_double_frees(tmp_path: Path, losses: Any, supported: bool) -> None:
    frame = found(tmp_path, several(3), WHOLE, losses=losses)
    assert judged(frame) == [("double-free", supported, "" if supported else "lost events")] * 3


@pytest.mark.parametrize(("count", "supported"), [(16, True), (17, False)])
def test_one_lost_event_explains_one_of_the_frees_that_follow_each_other(
    tmp_path: Path, count: int, supported: bool
) -> None:
    """Their times do not overlap, but the ledger does not say which of them an event was lost in."""
    each = (freed_twice(0x1000 * (i + 1), 4 * S + 3 * i * MS) for i in range(17))
    frame = found(tmp_path, [event for one in each for event in one], WHOLE, losses=[lost(4, count)])
    assert frame["maybe_missed"].tolist() == [count] * 17
    assert frame["supported"].tolist() == [supported] * 17


def test_losses_explain_only_what_happened_at_their_time(tmp_path: Path) -> None:
    later = [replace(e, ptr=e.ptr + 0x9000) for e in several(2, 8 * S)]
    frame = found(tmp_path, several(3) + later, WHOLE, losses=[lost(4, 3), lost(8, 1)])
    by_time = frame.sort_values("ptr")[["supported", "maybe_missed"]].values.tolist()
    assert by_time == [[False, 3]] * 3 + [[True, 1]] * 2


def wrong_cache(**of: Any) -> list[Event]:
    return [alloc(MS, 0x10040, cache=0xC0, **of), free(S, 0x10040, kind=Kind.CACHE_FREE, cache=0xC1, **of)]


@pytest.mark.parametrize(
    ("slab_of", "first", "supported"),
    [
        (0xC0, 0x10000, True),
        (0xC1, 0x10000, False),  # the slab is of the cache that the free named: it was freed and made again
        (0xC0, 0x10080, False),  # another slab
        (0xC0, 0xFF00, False),  # a slab that ends before the object
        (None, 0, False),
    ],
)
def test_a_slab_that_is_still_of_its_cache_supports_a_wrong_cache_free(
    tmp_path: Path, slab_of: int | None, first: int, supported: bool
) -> None:
    row = {"ts_ns": START + 9 * S, "slab": first, "cache": slab_of, "stride": 64, "objects": 4, "free": b"\0"}
    frame = found(tmp_path, wrong_cache(), slabs=[row] if slab_of else [])
    assert [each[:2] for each in judged(frame)] == [("wrong-cache-free", supported)]
    assert frame["confidence"].tolist() == ["unprovable"]


@pytest.mark.parametrize(
    ("apart", "tids", "supported"),
    [(MS, (7, 7), True), (CLOSE_NS, (7, 7), False), (MS, (7, 8), False), (MS, (0, 0), False)],
)
def test_a_slab_has_no_time_to_change_its_cache(
    tmp_path: Path, apart: int, tids: tuple[int, int], supported: bool
) -> None:
    made, freed = wrong_cache()
    events = [replace(made, tid=tids[0]), replace(freed, ts=made.ts + apart, tid=tids[1])]
    assert [each[:2] for each in judged(found(tmp_path, events))] == [("wrong-cache-free", supported)]


@pytest.mark.parametrize(("count", "supported"), [(1, True), (2, False)])
def test_two_lost_events_explain_a_wrong_cache_free(tmp_path: Path, count: int, supported: bool) -> None:
    frame = found(tmp_path, wrong_cache(), WHOLE, losses=[lost(0, count)])
    assert judged(frame) == [("wrong-cache-free", supported, "" if supported else "lost events")]


def test_what_kfence_explains_is_not_supported(tmp_path: Path) -> None:
    bulk = free(S, 0x10048, kind=Kind.BULK_FREE, cache=0xC0)
    caches = [{"cache": 0xC0, "name": "things", "size": 64, "order": 0}]
    filled = {"aliases": [], "object_size": 64, "slab_flags": 0, "objects_per_slab": 64}
    row = caches[0] | filled | {"reclaimable": False, "first_seen_ns": 0}
    ((kind, supported, cause),) = judged(found(tmp_path, [bulk], WHOLE, caches=[row]))
    assert (kind, supported) == ("invalid-free", False) and "KFENCE" in cause


def table(*causes: str) -> pd.DataFrame:
    """Findings with these values of explained_by; "" is supported."""
    return pd.DataFrame({"supported": [not cause for cause in causes], "explained_by": causes})


def test_all_that_is_not_supported_is_one_number() -> None:
    assert unsupported(table()) == unsupported(table("", "")) == Unsupported(0, "")
    assert unsupported(table("a", "", "a")) == Unsupported(2, "a")
    assert unsupported(table("b", "a", "a")) == Unsupported(3, "a (2) or b (1)")


def test_check_and_report_count_what_is_supported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(tmp_path, freed_twice(0x10, apart=S))
    trace, page = str(tmp_path / "t.slab"), tmp_path / "t.html"
    assert main.run(["check", trace, "--max-mismatches", "0"]) == 0
    assert main.run(["mismatches", trace]) == 0
    assert main.run(["report", trace, "-o", str(page)]) == 0
    text = page.read_text()
    assert "<dt>mismatches</dt><dd>0</dd>" in text and "double-free" not in text
    assert f"Not listed: 1 apparent wrong free that {UNTRACED} could explain." in text
    capsys.readouterr()
    found(tmp_path / "again", freed_twice(0x10))
    trace = str(tmp_path / "again" / "t.slab")
    assert main.run(["check", trace, "--max-mismatches", "0"]) == 1
    assert main.run(["mismatches", trace]) == 1
    assert main.run(["report", trace, "-o", str(page), "--force"]) == 0
    text = page.read_text()
    assert "<dt>mismatches</dt><dd>1</dd>" in text and "Not listed" not in text
