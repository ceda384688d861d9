# SPDX-License-Identifier: Apache-2.0
"""A series of traces: each part is complete and has all outstanding objects, even of deleted parts."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pytest

import slabtrace
from slabtrace.cli.destination import Limit, LimitType, rotation
from slabtrace.errors import TraceError, UsageError
from slabtrace.series.carry import carry
from slabtrace.series.carry_process import carry_in_process
from slabtrace.series.last_known import LastKnown
from slabtrace.series.parts import Rotation, check_series, part_path, parts_of
from slabtrace.series.series import Carry, Series
from slabtrace.trace.files import files
from slabtrace.trace.format import schema
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind, Loss
from slabtrace.trace.manifest import COMPLETE, Coverage, Manifest
from slabtrace.trace.reading.reader import TraceReader
from tests.unit.synthetic import Event, alloc, free, intern, write_table

S = 1_000_000_000
LEAKED = 3  # objects each second, never freed
KEEPER = 11  # a task that ends long before the recording does


def second(number: int) -> list[Event]:
    """Events of a second: LEAKED objects stay, 5 live half a second, one of two seconds earlier is freed."""
    at = number * S
    leaked = [alloc(at + i, 1 << 20 | number << 8 | i, call_site=0x100, tid=KEEPER) for i in range(LEAKED)]
    short = [alloc(at + 100 + i, 8 * i + 8, call_site=0x300) for i in range(5)]
    gone = [free(at + S // 2 + i, 8 * i + 8) for i in range(5)]
    long = [alloc(at + 200, 1 << 30 | number << 4, call_site=0x400)]
    late = [free(at + 300, 1 << 30 | number - 2 << 4)] if number >= 2 else []
    return sorted([*leaked, *short, *gone, *long, *late], key=lambda event: event.ts)


def record(
    name: Path, seconds: int, rotation: Rotation, status: str | None = COMPLETE, carrying: Carry = carry
) -> Series:
    """Write a series as the recorder does: rows, then the events up to half a second before."""
    events = [event for number in range(seconds) for event in second(number)]
    batch, sites = intern(events)
    manifest = Manifest(started_ns=S, coverage=Coverage(attached=["kmalloc", "kfree"]))
    made = Series(name, manifest, rotation, carry=carrying)
    made.rows("sites", {"site": np.arange(len(sites["kind"]), dtype=np.uint32), **sites})
    columns = {"aliases": [[]], "object_size": [64], "size": [64], "slab_flags": [0], "order": [0]}
    columns |= {"objects_per_slab": [64], "reclaimable": [False], "first_seen_ns": [S]}
    made.rows("caches", {"cache": [0xC0], "name": ["made"], **columns})
    made.rows(
        "tasks", {"ts_ns": [S, S], "tid": [7, KEEPER], "tgid": [7, KEEPER], "comm": ["seven", "keeper"]}
    )
    for number in range(seconds):
        made.rows("slabinfo", slabinfo((number + 1) * S, LEAKED * number + min(number, 2)))
        made.events(between(batch, number * S - S // 2, number * S + S // 2))
        made.manifest.totals.events += 1
        made.save_manifest()
    made.events(between(batch, seconds * S - S // 2, (seconds + 1) * S))
    made.manifest.ended_ns = (seconds + 1) * S
    if status is not None:
        made.close(status)
    return made


def between(batch: EventBatch, begin: int, end: int) -> EventBatch:
    first, last = np.searchsorted(batch.ts_ns, [begin + S, end + S])
    return batch.take(slice(int(first), int(last)))


def slabinfo(ts_ns: int, used: int) -> dict[str, Sequence[Any]]:
    fixed = {"num_objs": 640, "objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 10}
    return {"ts_ns": [ts_ns], "name": ["made"], "active_objs": [used], **{k: [v] for k, v in fixed.items()}}


def outstanding(part: Path) -> dict[int, int]:
    frame = slabtrace.open(part).outstanding("call_site")
    return dict(zip(frame["call_site"].tolist(), frame["outstanding"].tolist(), strict=True))


@pytest.mark.parametrize("keep", [None, 1, 2, 5])
def test_the_newest_part_has_all_outstanding_objects(tmp_path: Path, keep: int | None) -> None:
    record(tmp_path / "t.slab", 23, Rotation(ns=4 * S, keep=keep))
    parts = parts_of(tmp_path / "t")
    numbers = [int(part.name.split(".")[1]) for part in parts]
    assert numbers == list(range(1, 7))[-(keep or 6) :]
    assert outstanding(parts[-1]) == {0x100: 23 * LEAKED, 0x400: 2}
    assert slabtrace.open(parts[-1]).damage == []


def test_each_part_is_a_trace_of_its_time(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 23, Rotation(ns=4 * S))
    stored = 0
    for number, part in enumerate(parts_of(tmp_path / "t.slab"), 1):
        trace = slabtrace.open(part)
        manifest = trace.manifest
        assert manifest.part is not None
        assert (manifest.part.number, manifest.part.series_started_ns) == (number, S)
        begun = 4 * (number - 1)
        assert trace.span_ns == ((begun + 1) * S, min(begun + 5, 24) * S)
        ended = min(begun + 4, 23)
        left = {0x100: LEAKED * ended, 0x400: 2}
        assert outstanding(part) == left
        times = [t - S for batch in trace.events(["ts_ns"]) for t in batch["ts_ns"].to_pylist()]
        own = [event.ts for each in range(begun, ended) for event in second(each)]
        assert [t for t in times if t >= begun * S] == own
        assert manifest.totals.events == len(own)
        assert manifest.totals.allocs == 9 * (ended - begun)
        stored += manifest.totals.events
    assert stored == sum(len(second(number)) for number in range(23))


def test_the_change_of_a_part_does_not_include_carried_objects(tmp_path: Path) -> None:
    """Carried objects were not allocated in this part: the kernel's count did not grow by them."""
    record(tmp_path / "t.slab", 23, Rotation(ns=4 * S))
    parts = parts_of(tmp_path / "t.slab")
    for part in parts[1:5]:
        (row,) = slabtrace.open(part).reconciliation().to_dict("records")
        assert (row["kernel"], row["traced"], row["residue"]) == (4 * LEAKED, 4 * LEAKED, 0)
    usage = slabtrace.open(parts[2]).usage(4)
    begin = 8 * LEAKED + 2
    assert usage["objects"].tolist() == [begin + LEAKED * n for n in (1, 2, 3, 4)]
    held = slabtrace.open(parts[2]).call_site_usage(1, 4)
    assert held["objects"].tolist()[:4] == [LEAKED * n for n in (9, 10, 11, 12)]


def test_the_names_of_tasks_are_carried(tmp_path: Path) -> None:
    """The name of the task is in the first part, which is deleted; the task has ended."""
    record(tmp_path / "t.slab", 23, Rotation(ns=4 * S, keep=1))
    (part,) = parts_of(tmp_path / "t.slab")
    frame = slabtrace.open(part).outstanding("call_site")
    assert dict(zip(frame["call_site"], frame["comms"], strict=True)) == {0x100: ["keeper"], 0x400: ["seven"]}


def test_the_last_part_is_enough_to_suspect_a_slow_leak(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 95, Rotation(ns=24 * S, keep=1))
    (part,) = parts_of(tmp_path / "t.slab")
    frame = slabtrace.open(part).leaks("call_site")
    classes = dict(zip(frame["call_site"], frame["class"], strict=True))
    assert classes[0x100] == "suspect" and classes[0x400] != "suspect"


def test_losses_of_earlier_parts_still_count(tmp_path: Path) -> None:
    """Events lost in the first part may have freed any older object."""
    made = record(tmp_path / "t.slab", 6, Rotation(ns=4 * S, keep=1), status=None)
    lost = {"begin_ns": [8 * S], "end_ns": [9 * S], "cpu": [0], "kind": [Loss.RING_FULL], "program": [""]}
    made.rows("losses", lost | {"count": [2**33]})
    batch, _ = intern([alloc(9 * S, 1 << 40), alloc(14 * S, 1 << 41), alloc(19 * S, 1 << 42)])
    for event in range(3):
        made.rows("slabinfo", slabinfo((9 + 5 * event) * S, event))
        made.events(batch._replace(site=np.zeros(3, np.uint32)).take(slice(event, event + 1)))
    made.close(COMPLETE)
    trace = slabtrace.open(parts_of(tmp_path / "t.slab")[-1])
    assert trace.completeness().dropped == 2**33
    frame = trace.outstanding("call_site")
    assert frame[frame["call_site"] == 0x400]["maybe_freed"].tolist() == [2]
    assert trace.losses().empty


def test_rotation_by_size(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 40, Rotation(bytes=20_000, keep=2))
    parts = parts_of(tmp_path / "t.slab")
    assert len(parts) == 2 and int(parts[-1].name.split(".")[1]) > 2
    assert outstanding(parts[-1]) == {0x100: 40 * LEAKED, 0x400: 2}


def test_a_recorder_killed_while_carrying_leaves_readable_parts(tmp_path: Path) -> None:
    """The old part is complete; the new one reports what is missing, and has no false leaks."""

    def killed(ended: Path, following: Path) -> None:
        carry(ended, following)
        (following / "carried").rename(following / "carried.new")
        (following / "carried.new" / "missed.arrow").unlink()

    record(tmp_path / "t.slab", 6, Rotation(ns=4 * S), status=None, carrying=killed)._thread.shutdown()
    first, last = parts_of(tmp_path / "t.slab")
    assert outstanding(first) == {0x100: 4 * LEAKED, 0x400: 2}
    # two of the frees have no allocation here
    assert outstanding(last) == {0x100: 2 * LEAKED, 0x400: 2}
    trace = slabtrace.open(last)
    assert any("earlier parts" in sentence for sentence in trace.damage)
    assert not trace.completeness().exact and trace.completeness().old_frees == 2


def test_a_part_deleted_by_a_user_does_not_end_the_recording(tmp_path: Path) -> None:
    def too_late(ended: Path, following: Path) -> None:
        shutil.rmtree(ended)
        carry(ended, following)

    record(tmp_path / "t.slab", 10, Rotation(ns=4 * S, keep=1), carrying=too_late)
    (part,) = parts_of(tmp_path / "t.slab")
    assert outstanding(part) == {0x100: 2 * LEAKED, 0x400: 2}
    assert any("earlier parts" in sentence for sentence in slabtrace.open(part).damage)


@pytest.mark.parametrize("how", ["moved, a link left", "replaced"])
def test_a_part_replaced_by_a_user_is_not_deleted_and_recording_continues(tmp_path: Path, how: str) -> None:
    """--keep deletes only its own parts: it may run as root in a folder of another user."""
    archive = tmp_path / "archive"

    def put_away(ended: Path, following: Path) -> None:
        carry(ended, following)
        if not archive.exists():
            ended.rename(archive)
            (archive / "events" / "precious").touch()
            if how == "moved, a link left":
                ended.symlink_to(archive)
            else:
                ended.mkdir()
                (ended / "precious").touch()

    record(tmp_path / "t.slab", 14, Rotation(ns=4 * S, keep=1), carrying=put_away)
    first, last = parts_of(tmp_path / "t.slab") if how == "replaced" else (None, None)
    newest = last or max(tmp_path.glob("t.*.slab"))
    assert outstanding(newest) == {0x100: 14 * LEAKED, 0x400: 2}
    assert (archive / "events" / "precious").exists()
    assert first is None or (first / "precious").exists()


@pytest.mark.parametrize("what", ["leaks", "carry"])
def test_missed_frees_of_an_unknown_site_are_ignored(tmp_path: Path, what: str) -> None:
    """sites.arrow may be cut or damaged."""
    record(tmp_path / "t.slab", 9, Rotation(ns=4 * S))
    second_ = parts_of(tmp_path / "t.slab")[1]
    missed = pa.table({"site": [0, 4_000_000_000], "frees": [2, 3]}).cast(schema.CARRIED["missed"])
    write_table(second_ / "carried" / "missed.arrow", missed)
    if what == "leaks":
        assert slabtrace.open(second_).leaks("call_site")["outstanding"].sum() == 8 * LEAKED + 2
    else:
        third = parts_of(tmp_path / "t.slab")[2]
        shutil.rmtree(third / "carried")
        carry(second_, third)
        assert TraceReader(third).carried("missed").to_pylist() == [{"site": 0, "frees": 2}]


def test_a_failed_fork_does_not_end_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", none)
    record(tmp_path / "t.slab", 9, Rotation(ns=4 * S), carrying=carry_in_process)
    assert len(parts_of(tmp_path / "t.slab")) == 3


def test_a_twins_late_record_is_not_a_missed_free_in_a_later_part(tmp_path: Path) -> None:
    """A task preempted between a program and its twin: the second record comes 124 ms later (7.x)."""
    events = [alloc(2 * S, 0x1000), alloc(2 * S + 124_000_000, 0x1000, flags=int(Flag.RECOVERED))]
    coverage = Coverage(attached=["kmalloc", "kfree"], programs_preemptible=True)
    batch, sites = intern(events)
    made = Series(tmp_path / "t", Manifest(started_ns=S, coverage=coverage), Rotation(ns=3 * S), carry=carry)
    made.rows("sites", {"site": np.arange(len(sites["kind"]), dtype=np.uint32), **sites})
    made.events(batch)
    made.rows("slabinfo", slabinfo(4 * S, 1))
    made.events(intern([alloc(5 * S, 0x2000)])[0])
    made.close(COMPLETE)
    first, last = parts_of(tmp_path / "t")
    assert slabtrace.open(first).completeness().missed_frees_inferred == 0
    assert TraceReader(last).carried("missed").to_pylist() == []
    assert outstanding(last) == {0x100: 2}


def test_a_part_can_be_packed(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 9, Rotation(ns=4 * S, keep=1))
    (part,) = parts_of(tmp_path / "t.slab")
    with (tmp_path / "t.slab.zip").open("wb") as file:
        files.pack(part, file)
    (tmp_path / "back.slab").mkdir()
    files.unpack(tmp_path / "t.slab.zip", tmp_path / "back.slab")
    for trace in (tmp_path / "t.slab.zip", tmp_path / "back.slab"):
        assert outstanding(trace) == {0x100: 9 * LEAKED, 0x400: 2}


def test_an_existing_series_is_not_overwritten_without_force(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 9, Rotation(ns=4 * S))
    shutil.rmtree(part_path(tmp_path / "t", 1))
    with pytest.raises(UsageError, match=r"t\.0002\.slab exists"):
        check_series(tmp_path / "t.slab", force=False)
    check_series(tmp_path / "t.slab", True)
    (part_path(tmp_path / "t", 2) / "manifest.json").unlink()
    with pytest.raises(UsageError, match="is not a slabtrace trace"):
        check_series(tmp_path / "t.slab", force=True)


def test_names_of_ended_tasks_are_forgotten() -> None:
    last = LastKnown(is_there=lambda tid: tid == 5)
    row = {"tgid": [5], "comm": ["x"]}
    for tid, ts_ns, boundary_ns in ((5, 1, None), (6, 2, None), (5, 10, 9), (7, 11, 9)):
        last.take("tasks", row | {"ts_ns": [ts_ns], "tid": [tid]}, boundary_ns)
    found = dict(last.at_begin(9))["tasks"]
    assert sorted(zip(found["ts_ns"], found["tid"], strict=True)) == [(1, 5), (2, 6), (10, 5), (11, 7)]
    found = dict(last.at_begin(12))["tasks"]
    assert list(zip(found["ts_ns"], found["tid"], strict=True)) == [(10, 5)]


def test_kinds_are_counted_as_by_the_recorder(tmp_path: Path) -> None:
    made = Series(tmp_path / "t", Manifest(started_ns=S), Rotation(ns=S), carry=carry)
    kinds = [Kind.KMALLOC, Kind.KFREE, Kind.PAGE_END, Kind.KFREE_RCU, Kind.BULK_ALLOC]
    zeros = {name: [0] * 5 for name in ("flags", "call_site", "cache", "bytes_req", "bytes_alloc")}
    zeros |= {name: [0] * 5 for name in ("gfp_flags", "node", "stack_id")}
    made.rows("sites", {"site": range(5), "kind": kinds, **zeros})
    n = np.arange(5)
    made.events(EventBatch(n + S, n.astype(np.uint64), n.astype(np.uint32), *[np.zeros(5, np.uint32)] * 2))
    made.close(COMPLETE)
    totals = slabtrace.open(part_path(tmp_path / "t", 1)).manifest.totals
    assert (totals.events, totals.allocs, totals.frees) == (5, 2, 2)


@pytest.mark.parametrize("due_first", [False, True])
def test_the_part_with_the_slab_check_is_the_last(tmp_path: Path, due_first: bool) -> None:
    """Else a last part of some milliseconds would be judged without its answer."""
    made = Series(tmp_path / "t", Manifest(started_ns=S), Rotation(ns=S), carry=carry)
    n, zeros = np.arange(1), {name: [0] for name in schema.SITES.names}
    made.rows("sites", zeros)
    sample = {name: [0] for name in schema.SLABINFO.names} | {"ts_ns": [5 * S], "name": ["x"]}
    if due_first:
        made.rows("slabinfo", sample)
    made.rows("slabs", {name: [] for name in schema.SLABS.names})
    made.rows("slabinfo", sample)
    made.events(
        EventBatch(n + 6 * S, n.astype(np.uint64), n.astype(np.uint32), *[np.zeros(1, np.uint32)] * 2)
    )
    made.close(COMPLETE)
    assert made.folder == part_path(tmp_path / "t", 1)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["1h"], Rotation(ns=3_600_000_000_000)),
        (["1.5GiB", "30m"], Rotation(bytes=3 << 29, ns=1_800_000_000_000)),
    ],
)
def test_limits_are_parsed(words: list[str], wanted: Rotation) -> None:
    assert rotation(tuple(LimitType().convert(word, None, None) for word in words), None) == wanted


@pytest.mark.parametrize("word", ["0s", "2", "1h30m", "2GB", "", "-1h"])
def test_invalid_limits(word: str) -> None:
    with pytest.raises(click.UsageError):
        LimitType().convert(word, None, None)


def test_contradictory_options_are_refused() -> None:
    with pytest.raises(UsageError, match="--keep without"):
        rotation((), 3)
    with pytest.raises(UsageError, match="twice"):
        rotation((Limit("ns", 1), Limit("ns", 2)), 3)


def test_carrying_in_a_separate_process(tmp_path: Path) -> None:
    record(tmp_path / "t.slab", 6, Rotation(ns=4 * S))
    first, second_ = parts_of(tmp_path / "t.slab")
    here = outstanding(second_)
    shutil.rmtree(second_ / "carried")
    carry_in_process(first, second_)
    assert outstanding(second_) == here == {0x100: 6 * LEAKED, 0x400: 2}
    shutil.rmtree(first)
    with pytest.raises(TraceError, match=r"t\.0001\.slab does not exist"):
        carry_in_process(first, second_)


def test_the_carrying_process_is_named_as_slabtraces_own(tmp_path: Path) -> None:
    """Its pid and time are in the manifest of the parts that were recorded while it ran, and later ones."""
    events, sites = intern([alloc(i * S, 8 + 8 * i) for i in range(8)])
    made = Series(tmp_path / "t.slab", Manifest(started_ns=S), Rotation(ns=3 * S))
    made.rows("sites", {"site": np.arange(len(sites["kind"]), dtype=np.uint32), **sites})
    before = time.monotonic_ns()
    for number in range(8):
        made.rows("slabinfo", slabinfo((number + 1) * S, number))
        made.events(between(events, number * S, (number + 1) * S))
    patience = time.monotonic() + 60
    while not made.manifest.recorder.helpers and time.monotonic() < patience:
        time.sleep(0.01)  # a busy machine starts the first one after the last event
    made.close(COMPLETE)
    helpers = made.manifest.recorder.helpers
    assert len(helpers) == len(parts_of(tmp_path / "t.slab")) - 1 >= 2
    for helper in helpers:
        assert helper.pid not in (0, os.getpid())
        assert helper.ended_ns is not None
        assert before <= helper.started_ns < helper.ended_ns <= time.monotonic_ns()
    newest = TraceReader(parts_of(tmp_path / "t.slab")[-1]).manifest.recorder.helpers
    assert [each.pid for each in newest][:1] == [helpers[0].pid]
