# SPDX-License-Identifier: Apache-2.0
"""Digests are bounded, versioned, and read without trusting whoever wrote them."""

from __future__ import annotations

import io
import json
import random
import re
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import slabtrace
from slabtrace.errors import TraceError
from slabtrace.fleet.digests import file as digests
from slabtrace.fleet.digests.file import KEY, MOST_BYTES, SCHEMA, TRACE_KEY, Digest, encoded, encoded_table
from slabtrace.fleet.digests.making import digest_frame
from tests.places import FIXTURES
from tests.unit.fleet.fleets import template


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return digest_frame(slabtrace.open(FIXTURES / "slow-leak.slab"), "slow-leak.slab", "f" * 32)


def written(table: pa.Table, **meta: str) -> bytes:
    to = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(meta), to, compression="zstd")
    return to.getvalue()


def meta_of(content: bytes) -> dict[str, str]:
    meta = pq.read_metadata(io.BytesIO(content)).metadata
    return {KEY.decode(): meta[KEY].decode(), TRACE_KEY.decode(): meta[TRACE_KEY].decode()}


def test_what_is_written_is_read(frame: pd.DataFrame) -> None:
    digest = Digest(encoded(frame), "d")
    assert digest.trace()["fingerprint"] == "f" * 32
    (found,) = digest.findings(["class", "title", "growth_low_per_day"]).to_pylist()
    assert found["class"] == "suspect" and found["growth_low_per_day"] > 0


def test_pandas_reads_it_without_slabtrace(frame: pd.DataFrame) -> None:
    read = pd.read_parquet(io.BytesIO(encoded(frame)))
    assert list(read.columns) == SCHEMA.names
    assert read["title"].tolist() == frame["title"].tolist()


def test_it_is_at_most_one_mebibyte(frame: pd.DataFrame) -> None:
    """4,096 findings with stacks of random functions compress badly."""
    rng = random.Random(1)
    leak = frame[frame["row"] == "finding"]
    many = pd.concat([frame.iloc[:1], *[leak] * 4096], ignore_index=True)
    many["stack"] = ["\n".join(f"f{rng.getrandbits(200):x}+0x1" for _ in range(12)) for _ in range(len(many))]
    many["findings_left_out"] = 0
    content = encoded(many)
    assert len(content) <= MOST_BYTES
    digest = Digest(content, "d")
    rows, left_out = len(digest.findings(["class"])), digest.trace()["findings_left_out"]
    assert rows + left_out == 4096 and 0 < rows < 4096


def test_a_newer_major_version_is_refused_by_name(frame: pd.DataFrame) -> None:
    content = encoded(frame)
    table = pq.read_table(io.BytesIO(content))
    meta = meta_of(content)
    with pytest.raises(TraceError, match=r"d has digest version 2\.0") as raised:
        Digest(written(table, **meta | {KEY.decode(): "2.0"}), "d")
    assert raised.value.remedy == "Read it with a newer slabtrace."
    newer = table.append_column("added_later", pa.array([1] * len(table)))
    assert Digest(written(newer, **meta | {KEY.decode(): "1.7"}), "d").trace()["host"] == "fixture"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 1000, b"PAR1" + bytes(200) + b"PAR1"])
def test_garbage_is_no_digest(content: bytes) -> None:
    with pytest.raises(TraceError, match=r"^d is not a digest"):
        Digest(content, "d")


def test_a_cut_digest_is_named(frame: pd.DataFrame) -> None:
    content = encoded(frame)
    for end in range(0, len(content), 997):
        with pytest.raises(TraceError, match=r"^d "):
            Digest(content[:end], "d").findings(["class"])


def test_changed_bytes_never_raise_anything_else(frame: pd.DataFrame) -> None:
    content, rng = encoded(frame), random.Random(2)
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(3):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            digest = Digest(bytes(changed), "d")
            digest.trace()
            digest.findings(["class", "signature", "stack", "growth_low_per_day"])
        except TraceError as error:
            assert str(error).startswith("d ")


def test_another_parquet_file_is_no_digest() -> None:
    with pytest.raises(TraceError, match="d is not a digest of slabtrace"):
        Digest(written(pa.table({"a": [1]})), "d")


def test_a_digest_larger_than_any_is_refused() -> None:
    with pytest.raises(TraceError, match="too large"):
        Digest(bytes(MOST_BYTES + 1), "d")


WRONG = [("host", 5), ("end_ns", "x"), ("end_ns", 1 << 63), ("partial", 1), ("cpus", None), ("end_s", True)]


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("host", "x" * 100_000)])
def test_facts_of_another_type_are_damage(frame: pd.DataFrame, name: str, value: Any) -> None:
    content = encoded(frame)
    meta = meta_of(content)
    facts = json.loads(meta[TRACE_KEY.decode()]) | {name: value}
    table = pq.read_table(io.BytesIO(content))
    digest = Digest(written(table, **meta | {TRACE_KEY.decode(): json.dumps(facts)}), "d")
    with pytest.raises(TraceError, match="d does not say which trace it is of"):
        digest.trace()


def test_a_column_of_another_type_is_damage(frame: pd.DataFrame) -> None:
    content = encoded(frame)
    table = pq.read_table(io.BytesIO(content))
    at = table.column_names.index("growth_per_day")
    changed = table.set_column(at, "growth_per_day", pa.array(["x"] * len(table)))
    with pytest.raises(TraceError, match="d has no column growth_per_day"):
        Digest(written(changed, **meta_of(content)), "d").findings(["growth_per_day"])


def test_a_text_that_a_million_rows_share_is_not_copied() -> None:
    """A dictionary stores 900 kB once; as texts of 8,000 rows they would take 7 GB."""
    trace, leak = template()
    rows = [trace, *[leak] * 8_000]
    columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
    table = pa.table(columns, schema=SCHEMA)
    once = pa.DictionaryArray.from_arrays(pa.array([0] * len(table), pa.int32()), pa.array(["x" * 900_000]))
    bomb = encoded_table(table.set_column(SCHEMA.get_field_index("stack"), "stack", once))
    assert len(bomb) < MOST_BYTES
    with pytest.raises(TraceError, match="d has a text that no digest has"):
        Digest(bomb, "d").findings(["stack"])
    with pytest.raises(TraceError, match="more rows"):
        Digest(encoded_table(pa.concat_tables([table, table])), "d")


def test_the_version_stands_where_the_page_says() -> None:
    assert re.fullmatch(r"\d+\.\d+", f"{digests.MAJOR}.{digests.MINOR}")
