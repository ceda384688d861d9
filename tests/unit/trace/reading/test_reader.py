# SPDX-License-Identifier: Apache-2.0
"""Complete and damaged traces: complete parts are read, damage is reported, nothing else happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.errors import TraceError
from slabtrace.trace.files.files import Folder
from slabtrace.trace.files.place import Place
from slabtrace.trace.files.segments import Segment
from slabtrace.trace.format import schema
from slabtrace.trace.format.batch import EventBatch, concatenate
from slabtrace.trace.format.event_columns import loaded, stored
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.reading.reader import TraceReader
from tests.unit.synthetic import START, Event, alloc, events_table, free, intern, write_table, write_trace

BATCH = 10
EVENTS = [alloc(i, 8 * i, tid=i) if i % 3 else free(i, 8 * i) for i in range(1, 96)]


def everything(reader: TraceReader) -> EventBatch:
    batches = list(reader.events())
    return concatenate(batches) if batches else intern([])[0]


def first_segment(trace: Path) -> Path:
    return trace / schema.EVENTS_DIR / "00000.arrow"


def unfinished(trace: Path, content: bytes) -> TraceReader:
    """A reader of `trace` after its first segment was replaced by `content`."""
    first_segment(trace).write_bytes(content)
    return TraceReader(trace)


def test_a_complete_trace_is_read_in_order_across_segments(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH, segment_batches=3)
    reader = TraceReader(trace)
    assert [name.removeprefix("events/") for name in reader.segments] == [
        "00000.arrow",
        "00001.arrow",
        "00002.arrow",
        "00003.arrow",
    ]
    expected, _ = intern(EVENTS)
    read = everything(reader)
    for name in EventBatch._fields:
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
    assert reader.damage == []


def test_reading_twice_gives_the_same_events(tmp_path: Path) -> None:
    reader = TraceReader(write_trace(tmp_path / "t", EVENTS, batch_events=BATCH))
    assert everything(reader).ptr.tolist() == everything(reader).ptr.tolist()


def test_reading_may_stop_early(tmp_path: Path) -> None:
    reader = TraceReader(write_trace(tmp_path / "t", EVENTS, batch_events=BATCH))
    batches = reader.events()
    assert next(batches).size == BATCH
    batches.close()  # type: ignore[attr-defined]
    assert everything(reader).size == len(EVENTS)


def test_columns_may_be_dictionary_encoded(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    expected, _ = intern(EVENTS)
    table = events_table(expected)
    encoded = table.set_column(3, "site", table.column("site").dictionary_encode())
    write_table(first_segment(trace), encoded)
    assert everything(TraceReader(trace)).site.tolist() == expected.site.tolist()


def test_traces_of_version_1_have_one_column_of_times(tmp_path: Path) -> None:
    old = Manifest(status="complete", version=[1, 2])
    trace = write_trace(tmp_path / "t", EVENTS, manifest=old)
    expected, _ = intern(EVENTS)
    write_table(first_segment(trace), pa.table(list(expected), schema=schema.EVENTS_1), BATCH)
    reader = TraceReader(trace)
    found = everything(reader)
    for name in EventBatch._fields:
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    assert reader.damage == []
    old.ended_ns = None
    old.save(Place(trace))
    assert TraceReader(trace).span() == (START, int(expected.ts_ns[-1]))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_times_are_read_as_they_were_written(times: list[int]) -> None:
    n = len(times)
    batch = EventBatch(np.array(times, np.int64), *(np.zeros(n, kind) for kind in ("u8", "u4", "u4", "u2")))
    assert loaded(stored(batch)).ts_ns.tolist() == times


def test_an_empty_trace_has_no_events(tmp_path: Path) -> None:
    reader = TraceReader(write_trace(tmp_path / "t", []))
    assert everything(reader).size == 0
    assert reader.damage == []


@pytest.mark.parametrize("step", [11])
def test_a_cut_segment_is_read_up_to_its_last_complete_batch(tmp_path: Path, step: int) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH)
    content = first_segment(trace).read_bytes()
    expected, _ = intern(EVENTS)
    seen = set()
    for size in range(0, len(content), step):
        reader = unfinished(trace, content[:size])
        read = everything(reader)
        whole = read.size == len(EVENTS)
        assert read.size % BATCH == 0 or whole
        assert read.ptr.tolist() == expected.ptr[: read.size].tolist()
        assert len(reader.damage) == 1 and "00000.arrow" in reader.damage[0]
        seen.add(read.size)
    assert seen == {*range(0, 96, BATCH), len(EVENTS)}, "every number of whole batches occurred"


def test_flipped_bits_never_break_the_reader(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH)
    content = first_segment(trace).read_bytes()
    for at in range(0, len(content), 13):
        reader = unfinished(trace, content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            assert everything(reader).size <= len(EVENTS)
        except TraceError as error:
            assert "column" in error.message


def test_a_segment_of_garbage_is_damage(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    for content in (b"", b"ARROW1", b"\0" * 100, b"ARROW1\0\0" + b"\xff" * 100 + b"ARROW1"):
        reader = unfinished(trace, content)
        assert everything(reader).size == 0
        assert reader.damage


def test_segments_after_a_damaged_one_are_read(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH, segment_batches=3)
    reader = unfinished(trace, b"")
    assert everything(reader).size == len(EVENTS) - 3 * BATCH


def test_a_missing_segment_is_reported(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH, segment_batches=3)
    (trace / schema.EVENTS_DIR / "00001.arrow").unlink()
    reader = TraceReader(trace)
    assert everything(reader).size == len(EVENTS) - 3 * BATCH
    assert reader.damage == ["1 of 4 event segments are missing."]


def test_files_that_are_not_segments_are_ignored(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    (trace / schema.EVENTS_DIR / "notes.arrow").write_bytes(b"mine")
    (trace / schema.EVENTS_DIR / "٣.arrow").write_bytes(b"a digit, but not ours")
    reader = TraceReader(trace)
    assert everything(reader).size == len(EVENTS)
    assert reader.damage == []


def test_a_trace_that_is_being_recorded_is_reported(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    Manifest(status="recording", started_ns=START).save(Place(trace))
    reader = TraceReader(trace)
    assert reader.damage == ['The recording was not finished: its status is "recording".']
    assert reader.span() == (START, START + 95)


def test_without_an_end_the_last_complete_segment_gives_it(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH, segment_batches=3)
    Manifest(status="recording", started_ns=START).save(Place(trace))
    (trace / schema.EVENTS_DIR / "00003.arrow").write_bytes(b"ARROW1\0\0")
    assert TraceReader(trace).span() == (START, START + 90)


def test_a_trace_older_than_a_side_table_is_complete_without_it(tmp_path: Path) -> None:
    folder = write_trace(
        tmp_path / "t", [alloc(1, 0x1000)], manifest=Manifest(version=[1, 0], status="complete")
    )
    (folder / "slabs.arrow").unlink()
    reader = TraceReader(folder)
    assert reader.table("slabs").num_rows == 0
    assert reader.damage == []


def test_a_missing_side_table_is_empty_and_reported(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    (trace / "stacks.arrow").unlink()
    reader = TraceReader(trace)
    assert reader.table("stacks") == schema.STACKS.empty_table()
    assert reader.damage == ["stacks.arrow is missing."]


def test_complete_batches_of_a_cut_side_table_are_read(tmp_path: Path) -> None:
    marks = [{"ts_ns": i, "text": f"mark {i}"} for i in range(30)]
    trace = write_trace(tmp_path / "t", EVENTS)
    write_table(trace / "marks.arrow", pa.Table.from_pylist(marks, schema.MARKS), batch_rows=10)
    content = (trace / "marks.arrow").read_bytes()
    (trace / "marks.arrow").write_bytes(content[: len(content) * 6 // 10])
    reader = TraceReader(trace)
    kept = reader.table("marks").to_pylist()
    assert len(kept) in (10, 20) and kept == marks[: len(kept)]
    assert len(reader.damage) == 1 and "marks.arrow" in reader.damage[0]


def test_events_of_unknown_sites_are_left_out_and_counted(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=BATCH)
    write_table(trace / "sites.arrow", TraceReader(trace).table("sites").slice(0, 1))
    reader = TraceReader(trace)
    kept = everything(reader).size
    assert kept == sum(not event.is_free for event in EVENTS)
    assert reader.damage == [f"{len(EVENTS) - kept} events are left out: their site is not in sites.arrow."]


def test_sites_after_a_gap_are_ignored(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    table = TraceReader(trace).table("sites")
    absurd = table.set_column(0, "site", pa.array([0, 4_000_000_000], pa.uint32()))
    write_table(trace / "sites.arrow", absurd)
    reader = TraceReader(trace)
    assert len(reader.sites) == 1
    assert reader.damage == ["sites.arrow has a gap after 1 rows."]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ptr", pa.array([1], pa.int32())),
        ("ptr", pa.array([[1]], pa.list_(pa.uint64()))),
        ("ptr", pa.array(["x"])),
        ("other", pa.array([1], pa.uint64())),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str, values: pa.Array) -> None:
    trace = write_trace(tmp_path / "t", EVENTS[:1])
    columns = {n: pa.array([1], t) for n, t in zip(schema.EVENTS.names, schema.EVENTS.types, strict=True)}
    del columns["ptr"]
    write_table(first_segment(trace), pa.table({**columns, name: values}))
    with pytest.raises(TraceError, match="column ptr is"):
        everything(TraceReader(trace))


def test_nulls_are_damage(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS[:1])
    table = pa.table([pa.array([None], type_) for type_ in schema.EVENTS.types], schema=schema.EVENTS)
    write_table(first_segment(trace), table)
    reader = TraceReader(trace)
    assert everything(reader).size == 0
    assert reader.damage == ["events/00000.arrow 1 of 1 batches cannot be decoded."]


@pytest.mark.parametrize(
    ("name", "row"),
    [("stacks", {"stack_id": 1, "frames": [1, None]}), ("caches", {"cache": 1, "aliases": ["a", None]})],
)
def test_nulls_within_lists_are_damage(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    fields = schema.SIDE_TABLES[name]
    trace = write_trace(tmp_path / "t", EVENTS[:1])
    zeros = {field.name: pa.array([0]).cast(field.type) for field in fields if field.name not in row}
    given = {key: pa.array([value], fields.field(key).type) for key, value in row.items()}
    write_table(trace / f"{name}.arrow", pa.table({**zeros, **given}).select(fields.names).cast(fields))
    reader = TraceReader(trace)
    assert len(reader.table(name)) == 0
    assert reader.damage == [f"{name}.arrow 1 of 1 batches cannot be decoded."]


def test_a_segment_that_cannot_be_opened_is_damage(tmp_path: Path) -> None:
    segment = Segment(Folder(tmp_path), "gone.arrow", schema.EVENTS)
    assert list(segment.batches(["ptr"])) == []
    assert "cannot be opened" in segment.damage


@pytest.mark.parametrize(
    ("make", "message"), [(None, "does not exist"), ("file", "is neither a NAME.slab folder")]
)
def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path, make: str | None, message: str) -> None:
    path = tmp_path / "t.slab"
    if make:
        path.write_bytes(b"data")
    with pytest.raises(TraceError, match=message):
        TraceReader(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="has no manifest"):
        TraceReader(tmp_path)


def test_events_beside_an_unknown_event_kind_are_read(tmp_path: Path) -> None:
    newer = [Event(1, 8, kind=0x0F), Event(2, 8, kind=0x1F)]
    assert everything(TraceReader(write_trace(tmp_path / "t", newer))).size == 2
