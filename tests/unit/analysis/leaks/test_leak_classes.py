# SPDX-License-Identifier: Apache-2.0
"""Leak classes of hand-made traces of 64 s, each with one behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import Manifest, RecorderUse
from tests.unit.synthetic import START, Event, alloc, free, write_trace

SECONDS = 64
S, MS = 1_000_000_000, 1_000_000
TASKS = [
    {"ts_ns": 0, "tid": 7, "tgid": 70, "comm": "load"},
    {"ts_ns": 0, "tid": 9, "tgid": 90, "comm": "other"},
]
SYMBOLS = [
    {"address": 0x100, "name": "leaky", "offset": 1, "module": "", "since_ns": 0},
    {"address": 0x110, "name": "alloc_slab_obj_exts", "offset": 1, "module": "", "since_ns": 0},
    {"address": 0x118, "name": "alloc_vmap_area", "offset": 1, "module": "", "since_ns": 0},
]


def cache(name: str, address: int, reclaimable: bool) -> dict[str, Any]:
    sizes = {"object_size": 64, "size": 64, "slab_flags": 0, "order": 0, "objects_per_slab": 64}
    return {
        "cache": address,
        "name": name,
        "aliases": [],
        "reclaimable": reclaimable,
        "first_seen_ns": 0,
    } | sizes


CACHES = [cache("kmalloc-64", 0xC0, False), cache("dentry", 0xC1, True), cache("vmap_area", 0xC2, False)]


def churn(per_second: int = 20, lived: int = 2 * MS) -> list[Event]:
    """Objects of the same call site that are allocated and freed."""
    events = []
    for number in range(SECONDS * per_second):
        at = number * S // per_second + 77
        events += [alloc(at, 0x10_0000), free(at + lived, 0x10_0000)]
    return events


def kept(times: list[float], base: int = 0x20_0000, **fields: Any) -> list[Event]:
    return [alloc(int(t * S), base + 64 * number, **fields) for number, t in enumerate(times)]


def judged(
    tmp_path: Path,
    *parts: list[Event],
    pid: int = 0,
    seconds: int = SECONDS,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    events = sorted((event for part in parts for event in part), key=lambda event: event.ts)
    tables = {"tasks": TASKS, "symbols": SYMBOLS, "caches": CACHES, **more}
    manifest = Manifest(status="complete", recorder=RecorderUse(pid=pid), options=options or {})
    place = write_trace(tmp_path / "t.slab", events, tables, seconds=seconds, manifest=manifest)
    return slabtrace.open(place).leaks()


def only(leaks: Any) -> dict[Any, Any]:
    assert len(leaks) == 1
    return leaks.to_dict("records")[0]


def test_lifetimes_of_freed_siblings_are_at_most_the_recording(tmp_path: Path) -> None:
    """Lifetimes are counted by octaves: of 17 times 69 s, only 69 to 137 s is known."""
    lasting = [alloc(S + n, 0x30_0000 + 64 * n) for n in range(17)]
    freed = [free(event.ts + (1 << 36) + 5, event.ptr) for event in lasting]
    group = only(judged(tmp_path, lasting, freed, kept([0.5]), seconds=75))
    assert 1 << 36 <= group["sibling_ns"] <= 75 * S


def test_one_leaked_object_a_second_under_churn_is_a_suspect(tmp_path: Path) -> None:
    group = only(judged(tmp_path, churn(), kept([t + 0.5 for t in range(SECONDS)])))
    assert (group["class"], group["rank"], group["outstanding"]) == ("suspect", 1, 64)
    assert group["rate_per_s"] == pytest.approx(1.0, rel=0.02)
    assert group["growth_bytes_per_s"] == pytest.approx(64, rel=0.02)
    assert 44 < group["growth_low"] < 60 and 68 < group["growth_high"] < 90  # 1.96 standard deviations of 60
    assert group["horizon_ns"] == 1 << 32  # 4.3 s: the smallest power of two that is at least a 16th of 64 s
    assert (group["old"], group["old_freed"]) == (60, 0)  # allocated until 59.7 s
    assert MS < group["sibling_ns"] < 3 * MS
    assert group["p"] < 1e-9 and group["dispersion"] == 1
    assert "0 of 60 objects older than 4.29 s were freed" in group["why"]
    assert "freed objects of this stack lived" in group["why"]


def test_a_burst_is_retained(tmp_path: Path) -> None:
    group = only(judged(tmp_path, churn(), kept([5 + t / 1000 for t in range(200)])))
    assert (group["class"], group["old"]) == ("retained", 200)
    assert "in a few bursts" in group["why"]


def test_growth_that_ended_is_retained(tmp_path: Path) -> None:
    group = only(judged(tmp_path, kept([t / 4 for t in range(80)])))  # in the first 20 of 64 s
    assert group["class"] == "retained" and "no longer come" in group["why"]


def checked_at_the_end(tmp_path: Path, loaded: int, checked: int) -> Trace:
    """A leak of four a second for `loaded` seconds; then so many of checks, in which nothing comes."""
    events = [*kept([t / 4 for t in range(4 * loaded)]), *(e for e in churn() if e.ts < loaded * S)]
    manifest = Manifest(status="complete", asked_until_ns=START + loaded * S)
    path = write_trace(
        tmp_path / "t.slab",
        sorted(events, key=lambda event: event.ts),
        {"symbols": SYMBOLS, "caches": CACHES},
        manifest=manifest,
        seconds=loaded + checked,
    )
    return slabtrace.open(path)


@pytest.mark.parametrize(("loaded", "checked"), [(50, 14), (30, 12), (12, 24), (10, 20)])
def test_a_load_may_end_when_the_recording_was_to_end(tmp_path: Path, loaded: int, checked: int) -> None:
    (leak,) = checked_at_the_end(tmp_path, loaded, checked).findings().to_dict("records")
    assert leak["class"] == "suspect"
    assert "no longer come" not in leak["why"] and "bursts" not in leak["why"]
    assert leak["rate_low"] <= 4 <= leak["rate_high"]


def test_also_of_what_was_allocated_from_some_time_on(tmp_path: Path) -> None:
    trace = checked_at_the_end(tmp_path, 50, 14)
    (leak,) = trace.findings(between=(10 * S, 64 * S)).to_dict("records")
    assert leak["class"] == "suspect" and "no longer come" not in leak["why"]


def test_what_would_have_been_found_is_of_the_time_in_which_objects_came(tmp_path: Path) -> None:
    """Without the checks: as if it had been recorded for 40 s."""
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    checked = checked_at_the_end(tmp_path / "with", 40, 400).verdict()
    alone = checked_at_the_end(tmp_path / "without", 40, 0).verdict()
    assert checked.least_rate_per_s is not None and alone.least_rate_per_s is not None
    assert checked.least_rate_per_s == pytest.approx(alone.least_rate_per_s, rel=0.2)  # all are old by then
    assert checked.longer_ns == alone.longer_ns


def test_long_lifetimes_are_not_a_leak(tmp_path: Path) -> None:
    """Ten objects a second, each freed after 20 s: 200 are outstanding, all younger than 20 s."""
    lives = [(t / 10, t / 10 + 20) for t in range(SECONDS * 10)]
    events = [alloc(int(a * S), 0x100000 + 64 * n) for n, (a, _) in enumerate(lives)]
    events += [free(int(b * S), 0x100000 + 64 * n) for n, (_, b) in enumerate(lives) if b < SECONDS]
    group = only(judged(tmp_path, events))
    assert group["outstanding"] == 200
    assert group["class"] != "suspect"
    assert "bursts" not in group["why"] and "no longer come" not in group["why"]


def test_the_newest_objects_are_young(tmp_path: Path) -> None:
    group = only(judged(tmp_path, kept([63 + t / 100 for t in range(90)])))
    assert (group["class"], group["horizon_ns"]) == ("young", 0)
    assert "no object is old enough to judge" in group["why"]


def test_a_recording_of_a_second_has_no_suspect(tmp_path: Path) -> None:
    assert only(judged(tmp_path, kept([t / 100 for t in range(90)]), seconds=1))["class"] == "young"


STEADY = [t / 2 for t in range(2 * SECONDS)]


def test_a_reclaimable_cache_of_which_nothing_is_known_is_growing(tmp_path: Path) -> None:
    """An old trace does not say whether the objects are referred to; its flag alone decides nothing."""
    group = only(judged(tmp_path, kept(STEADY, cache=0xC1)))
    assert group["class"] == "growing"
    assert "the trace does not say" in group["why"]


def pins(events: list[Event], pinned: int) -> dict[str, Any]:
    rows = [{"ts_ns": START + SECONDS * S, "ptr": event.ptr, "pinned": pinned} for event in events]
    return {"pins": rows}


@pytest.mark.parametrize(("pinned", "expected"), [(0, "reclaimable"), (1, "suspect")])
def test_reference_counts_say_whether_objects_can_be_reclaimed(
    tmp_path: Path, pinned: int, expected: str
) -> None:
    dentries = kept(STEADY, 0x90_0000, cache=0xC1)
    blobs = kept([t + 50e-6 for t in STEADY], call_site=0x120)
    leaks = judged(tmp_path, dentries, blobs, **pins(dentries, pinned))
    assert leaks["class"].tolist() == [expected, expected]
    assert leaks["finding"].tolist() == [1, 1]


def test_an_event_about_a_file_is_no_part_of_its_dentry(tmp_path: Path) -> None:
    """Nobody refers to the dentry of a file that is gone; the event waits until it is read."""
    dentries = kept(STEADY, 0x90_0000, cache=0xC1)
    events = kept([t + 50e-6 for t in STEADY], call_site=0x120)
    symbol = {
        "address": 0x120,
        "name": "inotify_handle_inode_event",
        "offset": 1,
        "module": "",
        "since_ns": 0,
    }
    leaks = judged(tmp_path, dentries, events, symbols=[*SYMBOLS, symbol], **pins(dentries, 0))
    assert dict(zip(leaks["symbol"].str.partition("+")[0], leaks["class"], strict=True)) == {
        "inotify_handle_inode_event": "suspect",
        "leaky": "reclaimable",
    }


def test_objects_that_came_after_the_pins_were_read_do_not_make_a_group_young(tmp_path: Path) -> None:
    dentries = kept(STEADY, cache=0xC1)
    group = only(judged(tmp_path, dentries, **pins(dentries[:-2], 0)))
    assert group["class"] == "reclaimable"
    findings = slabtrace.open(tmp_path / "t.slab").findings()
    assert findings[["class", "outstanding"]].to_numpy().tolist() == [["young", 2], ["reclaimable", 126]]


@pytest.mark.parametrize("fields", [{"tid": 9}, {"late": 1}])
def test_objects_of_another_task_or_time_are_findings_of_their_own(tmp_path: Path, fields: Any) -> None:
    late = fields.pop("late", 0)
    blobs = kept([t + (0.2 if late else 50e-6) for t in STEADY], call_site=0x120, **fields)
    dentries = kept(STEADY, 0x90_0000, cache=0xC1)
    leaks = judged(tmp_path, dentries, blobs, **pins(dentries, 0))
    assert leaks["class"].tolist() == ["suspect", "reclaimable"]
    assert leaks["finding"].tolist() == [1, 2]


def test_an_owner_and_what_hangs_on_it_are_one_finding(tmp_path: Path) -> None:
    sockets = kept(STEADY, 0x90_0000, call_site=0x160, bytes_alloc=2368)
    inodes = kept([t - 20e-6 for t in STEADY[1:]], 0xA0_0000, call_site=0x170, bytes_alloc=832)
    blobs = [
        kept([t + d for t in STEADY], base, call_site=0x120)
        for d, base in ((3e-5, 0x20_0000), (6e-5, 0x30_0000))
    ]
    judged(tmp_path, sockets, inodes, *blobs)
    finding = only(slabtrace.open(tmp_path / "t.slab").findings())
    assert (finding["class"], finding["outstanding"], finding["objects"]) == ("suspect", 128, 128 + 127 + 256)
    assert finding["call_site"] == 0x160 and finding["bytes_alloc"] == 128 * 2368 + 127 * 832 + 256 * 64
    assert finding["growth_bytes_per_s"] == pytest.approx(2 * finding["bytes_each"], rel=0.02)


def test_a_ring_that_replaces_its_oldest_is_replacing(tmp_path: Path) -> None:
    """200 objects from before; every half second the oldest is freed and a new one is allocated."""
    older = [free(int((t + 0.01) * S), 0x70_0000 + 64 * number) for number, t in enumerate(STEADY)]
    group = only(judged(tmp_path, kept(STEADY), older))
    assert (group["class"], group["old"], group["older_freed"]) == ("replacing", 120, 119)
    assert group["growth_low"] < 0 < group["growth_high"]


def test_a_leak_beside_a_ring_of_the_same_stack_is_found(tmp_path: Path) -> None:
    older = [free(int((t + 0.01) * S), 0x70_0000 + 64 * number) for number, t in enumerate(STEADY)]
    leak = kept([t / 2 + 0.1 for t in range(2 * SECONDS)], 0x50_0000)
    group = only(judged(tmp_path, kept(STEADY), older, leak))
    assert group["class"] == "suspect"
    assert group["rate_low"] < 2 < group["rate_high"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"call_site": 0x110}, "retained"),
        ({"cache": 0xC2, "call_site": 0x118}, "reclaimable"),
        ({"cache": 0xC2}, "suspect"),  # of another cache, which is merged into this one
    ],
)
def test_what_the_kernel_keeps_by_design_is_no_suspect(tmp_path: Path, fields: Any, expected: str) -> None:
    assert only(judged(tmp_path, kept(STEADY, **fields)))["class"] == expected


def test_objects_of_slabtrace_are_not_suspect(tmp_path: Path) -> None:
    group = only(judged(tmp_path, kept(STEADY), pid=70))
    assert group["own"] and group["class"] == "retained"


def test_suspects_come_first_by_certain_growth(tmp_path: Path) -> None:
    slow = kept([t + 0.25 for t in range(SECONDS)], 0x30_0000, call_site=0x130)
    fast = kept([t / 5 for t in range(5 * SECONDS)], 0x50_0000, call_site=0x140)
    burst = kept([1 + t / 1000 for t in range(1000)], 0x80_0000, call_site=0x150)
    leaks = judged(tmp_path, slow, fast, burst)
    assert leaks["call_site"].tolist() == [0x140, 0x130, 0x150]
    assert leaks["class"].tolist() == ["suspect", "suspect", "retained"]


def test_groups_by_process_and_module_have_the_same_totals(tmp_path: Path) -> None:
    mine, others = kept(STEADY), kept(STEADY, 0x90_0000, tid=9)
    judged(tmp_path, churn(), mine, others)
    trace = slabtrace.open(tmp_path / "t.slab")
    by_process = trace.leaks(by="process")
    assert {
        tuple(pids): n for pids, n in zip(by_process["pids"], by_process["outstanding"], strict=True)
    } == {
        (70,): 128,
        (90,): 128,
    }
    assert by_process["allocated"].sum() == 2 * 128 + 20 * SECONDS
    by_module = trace.leaks(by="module")
    assert by_module[["module", "outstanding"]].to_numpy().tolist() == [["", 256]]


def test_between_two_moments_only_their_allocations_count(tmp_path: Path) -> None:
    judged(tmp_path, churn(), kept(STEADY))
    trace = slabtrace.open(tmp_path / "t.slab")
    group = only(trace.leaks(between=(10 * S, 20 * S)))
    assert (group["outstanding"], group["allocated"]) == (20, 20 + 200)


def test_a_window_is_judged_as_a_trace(tmp_path: Path) -> None:
    freed = [free(50 * S, 0x20_0000 + 64 * number) for number in range(128)]
    judged(tmp_path, kept([t / 20 for t in range(128)]), freed)
    whole = slabtrace.open(tmp_path / "t.slab")
    assert whole.leaks().empty
    window = whole.window(0, 40 * S)
    assert only(window.leaks())["outstanding"] == 128
    assert whole.window(45 * S).completeness().old_frees == 128
    assert (window.length_ns, window.completeness().events) == (40 * S, 128)


def test_frees_of_all_kinds_end_lifetimes(tmp_path: Path) -> None:
    ends = [(int(t * S) + MS, 0x20_0000 + 64 * number) for number, t in enumerate(STEADY)]
    events = kept(STEADY) + [free(ts, ptr, kind=Kind.CACHE_FREE) for ts, ptr in ends]
    assert judged(tmp_path, events).empty


@pytest.mark.parametrize(
    ("entered", "findings"), [("do_syscall_64", 2), ("net_rx_action", 1), ("process_one_work", 1)]
)
def test_only_what_tasks_allocate_themselves_is_divided_by_task(
    tmp_path: Path, entered: str, findings: int
) -> None:
    """Two tasks keep 128 objects each, and free old ones; or a softirq on top of them does."""
    symbols = [*SYMBOLS, {"address": 0x10, "name": entered, "offset": 1, "module": "", "since_ns": 0}]
    parts: list[list[Event]] = []
    for tid in (7, 9):
        base = 0x100_0000 * tid
        old = kept([1.0 + t for t in range(10)], base, tid=tid, stack_id=1)
        freed = [free(int(event.ts + 20 * S), event.ptr, tid=tid) for event in old]
        parts += [old, freed, kept(STEADY, base + 0x10_0000, tid=tid, stack_id=1)]
    stacks = [{"stack_id": 1, "frames": [0x100, 0x10]}]
    judged(tmp_path, *parts, symbols=symbols, stacks=stacks)
    found = slabtrace.open(tmp_path / "t.slab").findings()
    assert len(found) == findings and found["outstanding"].sum() == 2 * len(STEADY)
