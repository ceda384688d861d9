# SPDX-License-Identifier: Apache-2.0
"""Small files that declare or contain more than fits into memory are not unpacked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.errors import TraceError
from slabtrace.trace.files.unpacking import Allowance, ExcessError, blocks, message_at
from slabtrace.trace.format import schema
from slabtrace.trace.reading.reader import TraceReader
from tests.unit.synthetic import alloc, events_table, intern, write_table, write_trace
from tests.unit.trace.reading.test_reader import EVENTS, everything, first_segment

ROWS = 7_000_003
ONCE = 1 << 20  # bytes that reading such a file may take


@pytest.fixture
def most_bytes() -> Iterator[pa.MemoryPool]:
    """Count the memory that Arrow allocates during the test."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def zeros(rows: int, table: pa.Schema = schema.EVENTS) -> pa.Table:
    return pa.table([np.zeros(rows, field.type.to_pandas_dtype()) for field in table], schema=table)


def read_trap(folder: Path, table: pa.Table, batch_rows: int, cut: bool) -> TraceReader:
    trace = write_trace(folder / "t", EVENTS)
    write_table(first_segment(trace), table, batch_rows)
    if cut:
        content = first_segment(trace).read_bytes()
        first_segment(trace).write_bytes(content[:-1])
    assert first_segment(trace).stat().st_size < ROWS / 5
    return TraceReader(trace)


def test_the_example_of_the_module() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema.EVENTS, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for rows in (131_072, 131_072, 2_000_000):
            writer.write_table(zeros(rows), max_chunksize=rows)
    allowance, found = Allowance(100_000), []
    with pytest.raises(ExcessError):
        for message in pa.ipc.MessageReader.open_stream(sink.getvalue()):
            allowance.take(message)
            found.append((allowance.rows, allowance.bytes))
    assert found == [(0, 0), (131_072, 3_670_016), (262_144, 2 * 3_670_016)]
    assert (allowance.rows, allowance.bytes) == (2_262_144, 2 * 3_670_016 + 56_000_000)


@pytest.mark.parametrize("cut", [False, True])
def test_a_batch_of_millions_of_zeros_is_not_unpacked(
    tmp_path: Path, most_bytes: pa.MemoryPool, cut: bool
) -> None:
    reader = read_trap(tmp_path, zeros(ROWS), ROWS, cut)
    assert everything(reader).size == 0
    assert reader.damage == [
        "events/00000.arrow unpacks to more than a recording can: it is damaged, or a trap; read up to there."
    ]
    assert not reader.only_cut
    assert most_bytes.max_memory() < ONCE


@pytest.mark.parametrize("cut", [False, True])
def test_many_batches_of_zeros_are_read_up_to_a_limit(tmp_path: Path, cut: bool) -> None:
    reader = read_trap(tmp_path, zeros(ROWS), 131_072, cut)
    assert everything(reader).size == 8 * 131_072, "2^20 rows"
    assert "more than a recording can" in reader.damage[0]


def test_a_side_table_of_zeros_is_read_up_to_a_limit(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    counted = zeros(3_000_017, schema.COUNTED)
    write_table(trace / "counted.arrow", counted, 100_000)
    assert (trace / "counted.arrow").stat().st_size < 1_000_000
    reader = TraceReader(trace)
    assert len(reader.table("counted")) == 1_000_000
    assert reader.damage == [
        "counted.arrow unpacks to more than a recording can: it is damaged, or a trap; read up to there."
    ]


def test_a_footer_that_names_one_batch_many_times(tmp_path: Path) -> None:
    """Each of 499 entries of 24 bytes would give 9,973 rows."""
    trace = write_trace(tmp_path / "t", EVENTS)
    write_table(first_segment(trace), zeros(499 * 9_973), 9_973)
    content = bytearray(first_segment(trace).read_bytes())
    _, records = blocks(pa.py_buffer(bytes(content)))
    assert len(records) == 499
    for each in records[1:]:
        at = content.rindex(each.tobytes())
        content[at : at + 24] = records[0].tobytes()
    first_segment(trace).write_bytes(content)
    reader = TraceReader(trace)
    assert everything(reader).size == (1 << 20) // 9_973 * 9_973
    assert "more than a recording can" in reader.damage[0]


def test_a_buffer_that_declares_a_large_length_is_refused(tmp_path: Path, most_bytes: pa.MemoryPool) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    content = bytearray(first_segment(trace).read_bytes())
    ptrs = struct.pack("<q", 8 * len(EVENTS))  # the unpacked length, before a compressed buffer
    at = content.index(ptrs, len(content) // 4)
    content[at : at + 8] = struct.pack("<q", 1 << 30)
    first_segment(trace).write_bytes(content)
    reader = TraceReader(trace)
    assert everything(reader).size == 0
    assert "more than a recording can" in reader.damage[0]
    assert most_bytes.max_memory() < ONCE


@pytest.mark.parametrize("compression", ["zstd", None])
def test_a_negative_length_does_not_raise_the_limit(compression: str | None) -> None:
    table = zeros(1_009)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content = bytearray(sink.getvalue().to_pybytes())
    (block,) = blocks(pa.py_buffer(bytes(content)))[1]
    begin = int(block["offset"])
    lengths = [
        at for at in range(begin, begin + int(block["metadata"]), 8) if content[at + 4 : at + 8] == bytes(4)
    ]
    taken = 0
    for at in lengths:
        lying = bytearray(content)
        lying[at : at + 8] = struct.pack("<q", -(1 << 40))
        allowance = Allowance(len(lying))
        with suppress(ValueError, struct.error, OSError, EOFError):
            allowance.take(message_at(pa.py_buffer(bytes(lying)), block))
        assert allowance.rows >= 0 and allowance.bytes >= 0
        taken += 1
    assert taken > 12, "two numbers for each of six buffers"


def test_dictionary_encoded_texts_are_refused(tmp_path: Path) -> None:
    """A million one-byte codes could stand for a million texts of a megabyte."""
    trace = write_trace(tmp_path / "t", [alloc(1, 8)])
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int8)), ["x" * 1_000_000])
    columns = [np.zeros(1000, np.int64), np.zeros(1000, np.uint32), np.zeros(1000, np.uint32), texts]
    write_table(trace / "tasks.arrow", pa.table(columns, names=schema.TASKS.names))
    with pytest.raises(TraceError, match=r"tasks\.arrow: column comm is dictionary"):
        TraceReader(trace).table("tasks")


def test_a_dictionary_counts_toward_the_limit(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t", EVENTS)
    table = events_table(intern(EVENTS)[0])
    codes = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(len(EVENTS), np.int8)), np.zeros(ROWS, np.uint32)
    )
    write_table(first_segment(trace), table.set_column(3, "site", codes))
    reader = TraceReader(trace)
    assert everything(reader).size == 0
    assert reader.damage


def test_zeros_in_place_of_a_batch_are_damage(tmp_path: Path) -> None:
    """If the disk was full, the footer can name a batch that was not written."""
    trace = write_trace(tmp_path / "t", EVENTS, batch_events=10)
    content = bytearray(first_segment(trace).read_bytes())
    at = int(blocks(pa.py_buffer(bytes(content)))[1][2]["offset"])
    content[at : at + 16] = bytes(16)
    first_segment(trace).write_bytes(content)
    reader = TraceReader(trace)
    assert everything(reader).size == len(EVENTS) - 10
    assert reader.damage == ["events/00000.arrow 1 of 10 batches cannot be decoded."]


columns_of_any_kind = st.lists(
    st.sampled_from([pa.uint8(), pa.int64(), pa.string(), pa.list_(pa.uint64()), pa.bool_()]), min_size=1
)


@given(columns_of_any_kind, st.integers(0, 300), st.sampled_from(["zstd", "lz4", None]), st.randoms())
def test_sizes_are_those_that_pyarrow_unpacks(
    kinds: list[pa.DataType], rows: int, compression: str | None, random: object
) -> None:
    """They are compared with the buffers of the batch after reading."""
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    arrays = [_random(kind, rows, rng) for kind in kinds]
    batch = pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(arrays))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_batch(batch)
    content = sink.getvalue()
    (block,) = blocks(content)[1]
    allowance = Allowance(content.size)
    allowance.take(message_at(content, block))
    read = pa.ipc.open_file(content).get_batch(0)
    buffers = [buffer.size for column in read.columns for buffer in column.buffers() if buffer is not None]
    assert allowance.rows == rows
    assert allowance.bytes == sum(buffers)


def _random(kind: pa.DataType, rows: int, rng: np.random.Generator) -> pa.Array:
    numbers = rng.integers(0, 2, rows)
    if pa.types.is_list(kind):
        return pa.array([[1, 2, 3][: n + 1] for n in numbers.tolist()], kind)
    if pa.types.is_string(kind):
        return pa.array(["x" * 40 * n for n in numbers.tolist()], kind)
    return pa.array(numbers.tolist(), pa.int64()).cast(kind)


@given(st.binary(max_size=400))
def test_a_damaged_footer_raises_only_expected_errors(noise: bytes) -> None:
    content = noise + struct.pack("<i", len(noise)) + b"ARROW1"
    try:
        for block in np.concatenate(blocks(pa.py_buffer(content))):
            message_at(pa.py_buffer(content), block)
    except (ValueError, struct.error, pa.ArrowException, OSError, EOFError) as error:
        assert not isinstance(error, ExcessError)
