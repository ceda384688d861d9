# SPDX-License-Identifier: Apache-2.0
"""Every export read back by a reader that is not ours, its totals equal to those of `stat --json`."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

from slabtrace.commands import main
from slabtrace.render.export.protobuf import field, packed, varint
from slabtrace.render.export.tables import batches_of, write_csv
from tests.needs import need_program
from tests.unit.synthetic import START, Event, alloc, free, write_trace

SECOND = 10**9
HOSTILE = "evil;na me\x1b[2J\n<b>"
CACHES = {0xC0: "kmalloc-64", 0xD0: HOSTILE}
# 11 of 13 messages kept in one stack, 5 of 7 in another of the same functions, 3 of 17 in another cache.
STACKS = {1: [0x100, 0x900], 2: [0x108, 0x900], 3: [0x300, 0x800, 0x900]}
NAMES = {0x100: "load_msg", 0x108: "load_msg", 0x300: "mod_alloc", 0x800: "mod_init", 0x900: "do_syscall_64"}


def events() -> list[Event]:
    made: list[Event] = []
    for stack, count, kept, call_site, cache, size in (
        (1, 13, 11, 0x100, 0xC0, 64),
        (2, 7, 5, 0x108, 0xC0, 64),
        (3, 17, 3, 0x300, 0xD0, 192),
    ):
        for i in range(count):
            ptr = stack * 0x100000 + i * 0x100
            made.append(
                alloc(
                    i * 1000 + stack, ptr, call_site=call_site, cache=cache, stack_id=stack, bytes_alloc=size
                )
            )
            if i >= kept:
                made.append(free(2 * SECOND + i * 1000 + stack, ptr, cache=cache))
    return sorted(made, key=lambda event: event.ts)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables: dict[str, list[dict[str, Any]]] = {
        "caches": [
            {
                "cache": address,
                "name": name,
                "aliases": [],
                "object_size": 64,
                "size": 64,
                "slab_flags": 0,
                "order": 0,
                "objects_per_slab": 64,
                "reclaimable": False,
                "first_seen_ns": START,
            }
            for address, name in CACHES.items()
        ],
        "stacks": [{"stack_id": number, "frames": frames} for number, frames in STACKS.items()],
        "symbols": [
            {
                "address": address,
                "name": name,
                "offset": address & 0xFF,
                "module": "evil" if name.startswith("mod") else "",
                "since_ns": START,
            }
            for address, name in NAMES.items()
        ],
        "marks": [
            {"ts_ns": START + SECOND, "text": "after\x1b login"},
            {"ts_ns": START + 3 * SECOND, "text": "b"},
        ],
    }
    return write_trace(tmp_path_factory.mktemp("export") / "t.slab", events(), tables, seconds=5)


@pytest.fixture
def export(trace: Path, tmp_path: Path) -> Callable[..., Path]:
    def run(to: str, *options: str) -> Path:
        path = tmp_path / f"{to}.{len(list(tmp_path.iterdir()))}"
        assert main.run(["export", str(trace), "--to", to, "-o", str(path), *options]) == 0
        return path

    return run


@pytest.fixture
def totals(trace: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """What `stat --json` says, summed; checked here against the numbers of `events`."""
    assert main.run(["stat", str(trace), "--by", "cache", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    sums = {key: sum(row[key] for row in rows) for key in ("hits", "bytes_alloc", "outstanding", "frees")}
    assert sums == {"hits": 37, "bytes_alloc": 20 * 64 + 17 * 192, "outstanding": 19, "frees": 18}
    return sums


def test_folded_lines_sum_to_stat(export: Callable[..., Path], totals: dict[str, int]) -> None:
    def values(*options: str) -> dict[str, int]:
        lines = export("folded", *options).read_text().splitlines()
        return {stack: int(value) for stack, value in (line.rsplit(" ", 1) for line in lines)}

    kept = values("--unit", "objects")
    assert kept == {
        "do_syscall_64;load_msg;[kmalloc-64]": 16,
        "do_syscall_64;mod_init [evil];mod_alloc [evil];[evil:na me\\x1b[2J\\n<b>]": 3,
    }
    assert sum(kept.values()) == totals["outstanding"]
    assert sum(values("--what", "allocated").values()) == totals["bytes_alloc"]
    assert sum(values("--what", "churn", "--unit", "objects").values()) == totals["frees"]


def test_speedscope_follows_its_schema(export: Callable[..., Path], totals: dict[str, int]) -> None:
    content = json.loads(export("speedscope").read_text())
    schema = json.loads((Path(__file__).parent / "data" / "speedscope-schema.json").read_text())
    jsonschema.validate(content, schema)
    sums = {profile["name"]: sum(profile["weights"]) for profile in content["profiles"]}
    assert sums["allocated bytes"] == totals["bytes_alloc"]
    assert sums["outstanding objects"] == totals["outstanding"]
    assert sums["churn objects"] == totals["frees"]
    frames = [frame["name"] for frame in content["shared"]["frames"]]
    assert not any("\x1b" in frame or "\n" in frame for frame in frames)
    samples = [[frames[i] for i in sample] for sample in content["profiles"][0]["samples"]]
    assert ["do_syscall_64", "load_msg", "[kmalloc-64]"] in samples


def test_pprof_reads_the_profile(export: Callable[..., Path], totals: dict[str, int]) -> None:
    raw = subprocess.run(
        [need_program("go"), "tool", "pprof", "-raw", export("pprof")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]" in raw
    samples = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+): [\d ]+$", raw, re.M)
    sums = [sum(map(int, column)) for column in zip(*samples, strict=True)]
    kept_bytes = 16 * 64 + 3 * 192
    assert sums == [totals["hits"], totals["bytes_alloc"], totals["outstanding"], kept_bytes]
    assert "cache:[kmalloc-64]" in raw and "mod_alloc [evil]" in raw and "\x1b" not in raw


def test_perfetto_has_a_counter_for_each_cache(export: Callable[..., Path], totals: dict[str, int]) -> None:
    read = perfetto_trace_pb2.Trace()
    read.ParseFromString(export("perfetto").read_bytes())
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor for p in read.packet if p.HasField("track_descriptor")
    }
    counters = [p for p in read.packet if p.track_event.type == 4]
    last: Counter[str] = Counter()
    for track in tracks.values():
        if track.HasField("counter"):
            mine = [p for p in counters if p.track_event.track_uuid == track.uuid]
            assert mine[-1].timestamp == START + 5 * SECOND
            last[track.name] += mine[-1].track_event.counter_value
    assert last["allocations"] == totals["hits"]
    assert last["frees"] == totals["frees"]
    assert last["objects"] == totals["outstanding"]
    assert last["bytes"] == 16 * 64 + 3 * 192
    groups = {tracks[t.parent_uuid].name for t in tracks.values() if t.parent_uuid}
    assert groups == {"kmalloc-64", "evil;na me\\x1b[2J\\n<b>"}
    marks = [(p.timestamp - START, p.track_event.type, p.track_event.name) for p in read.packet]
    assert [m for m in marks if m[1] in (1, 2)] == [
        (SECOND, 1, "after\\x1b login"), (3 * SECOND, 2, ""), (3 * SECOND, 1, "b"), (5 * SECOND, 2, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("table", ["stat", "events"])
def test_tables_hold_the_totals_in_every_format(
    table: str, export: Callable[..., Path], totals: dict[str, int]
) -> None:
    parquet = pq.read_table(export("parquet", "--table", table)).to_pylist()
    with export("csv", "--table", table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in export("json", "--table", table).read_text().splitlines()]
    assert len(parquet) == len(rows) == len(lines)
    for found in (parquet, rows, lines):
        if table == "stat":
            assert sum(int(row["hits"]) for row in found) == totals["hits"]
            assert sum(int(row["bytes_alloc"]) for row in found) == totals["bytes_alloc"]
        else:
            allocs = [row for row in found if int(row["kind"]) < 0x10]
            assert len(allocs) == totals["hits"] and len(found) - len(allocs) == totals["frees"]
            assert sum(int(row["bytes_alloc"]) for row in allocs) == totals["bytes_alloc"]
    if table == "events":
        assert rows[0]["ptr"] == lines[0]["ptr"] == f"0x{parquet[0]['ptr']:016x}"
        assert {row["cache_name"] for row in parquet} == set(CACHES.values())
        assert {row["cache_name"] for row in rows} == {"kmalloc-64", "evil;na me\\x1b[2J\\n<b>"}


@pytest.mark.parametrize("to", ["parquet", "csv", "json"])
@pytest.mark.parametrize("table", ["lifetimes", "leaks", "caches", "usage", "mismatches"])
def test_every_table_goes_into_every_format(to: str, table: str, export: Callable[..., Path]) -> None:
    content = export(to, "--table", table).read_bytes()
    assert content or (to, table) == ("json", "mismatches")


def test_lists_of_dicts_are_json_text_with_addresses_that_no_reader_rounds() -> None:
    places = [{"call_site": 0xFFFFFFFF81300B99, "path": ["free_pipe_info"], "objects": 60}]
    (batch,) = batches_of(pd.DataFrame({"freed_by": [places, []], "others_freed_by": [[], []]}))
    freed, none = (json.loads(each) for each in batch.column("freed_by").to_pylist())
    assert freed == [{"call_site": "0xffffffff81300b99", "path": ["free_pipe_info"], "objects": 60}]
    assert none == [] and batch.column("others_freed_by").to_pylist() == ["[]", "[]"]


@pytest.mark.parametrize("first", "=+-@")
def test_no_name_is_a_formula_to_a_spreadsheet(first: str) -> None:
    out = io.BytesIO()
    names = [f'{first}cmd|" /C calc"!A0', f"a{first}b"]
    batch = pa.RecordBatch.from_pydict({"comm": names, "count": [-3, 5]})
    write_csv(out, [batch])
    header, bad, good = csv.reader(io.StringIO(out.getvalue().decode()))
    assert header == ["comm", "count"]
    assert bad == [f'\\x{ord(first):02x}cmd|" /C calc"!A0', "-3"] and good == [f"a{first}b", "5"]


def test_lifetimes_of_an_export_are_the_frees(export: Callable[..., Path], totals: dict[str, int]) -> None:
    table = pq.read_table(export("parquet", "--table", "lifetimes"))
    assert table.num_rows == totals["frees"]


def test_cache_chooses(export: Callable[..., Path], trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = export("folded", "--cache", "kmalloc-*").read_text()
    assert text == f"do_syscall_64;load_msg;[kmalloc-64] {16 * 64}\n"
    assert main.run(["export", str(trace), "--to", "csv", "--cache", "kmalloc-*"]) == 2
    assert "--cache does not apply to events" in capsys.readouterr().err


def test_varints_are_as_the_specification_shows() -> None:
    # the examples of https://protobuf.dev/programming-guides/encoding
    assert varint(150) == bytes.fromhex("9601")
    assert varint(-2) == bytes.fromhex("feffffffffffffffff01")
    assert field(1, 150) == bytes.fromhex("089601")
    assert field(2, "testing") == bytes.fromhex("120774657374696e67")
    assert packed([3, 270, 86942]) == bytes.fromhex("038e029ea705")
