# SPDX-License-Identifier: Apache-2.0
"""No byte of a redacted file has a removed value, neither packed nor decompressed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.commands.main import run
from slabtrace.trace import manifest
from slabtrace.trace.files.files import PACKED, Files, files_of
from slabtrace.trace.format import schema
from slabtrace.trace.manifest import Command, Helper, Host, Manifest, OsRelease, RecorderUse
from tests.places import FIXTURES
from tests.unit.synthetic import Event, write_trace

FOLDERS = sorted(FIXTURES.glob("*.slab"))
SECRET = "TopSecret"
ADDRESS = 0xFFFF_8881_2345_6780
PID = 31_337
ADDRESSES = {
    "events": ("ptr",), "sites": ("call_site", "cache"), "caches": ("cache",), "stacks": ("frames",),
    "symbols": ("address",), "slabs": ("slab", "cache"), "pins": ("ptr",), "charged": ("ptr", "cgroup"),
    "objects": ("ptr", "holder"),
}  # fmt: skip
PIDS = {"events": ("tid",), "tasks": ("tid", "tgid")}


def batches(files: Files, table: str) -> Iterator[pa.RecordBatch]:
    """All batches of a table, read with pyarrow only."""
    for name in files.names():
        if name == f"{table}.arrow" or name.startswith(f"{table}/"):
            content = files.open(name).read()
            if content:
                stream = pa.ipc.open_stream(content[8:])
                try:
                    yield from stream
                except (OSError, pa.ArrowException):
                    return  # a cut file


def buffers(files: Files) -> Iterator[bytes]:
    """All buffers of the trace, decompressed."""
    for table in ("events", *schema.SIDE_TABLES):
        for batch in batches(files, table):
            yield from (part.to_pybytes() for each in batch.columns for part in each.buffers() if part)
    yield files.open(schema.MANIFEST).read()


def numbers(files: Files, of: dict[str, tuple[str, ...]]) -> set[int]:
    found: set[int] = set()
    for table, columns in of.items():
        for batch in batches(files, table):
            for column in (batch.column(name) for name in columns):
                flat = column.flatten() if pa.types.is_list(column.type) else column
                found.update(np.asarray(flat).tolist())
    return found


def redacted(trace: Path, folder: Path) -> Path:
    path = folder / f"t{PACKED}"
    assert run(["pack", str(trace), "--redact", "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize("trace", FOLDERS, ids=lambda path: path.stem)
def test_no_address_pid_or_name_of_a_fixture_is_left(trace: Path, tmp_path: Path) -> None:
    path = redacted(trace, tmp_path)
    true, made = files_of(trace), files_of(path)
    addresses = np.array([each for each in numbers(true, ADDRESSES) if each >= 1 << 40], np.uint64)
    assert len(addresses) > 20
    names = {name.encode() for batch in batches(true, "tasks") for name in batch.column("comm").to_pylist()}
    hidden = {name for name in names if len(name) > 3 and name != schema.FORMAT.encode()}
    symbols = {n for batch in batches(true, "symbols") for n in batch.column("name").to_pylist()}
    hidden = {name for name in hidden if not any(name in symbol.encode() for symbol in symbols)}
    for content in (b"\0".join(buffers(made)), path.read_bytes()):
        for at in range(8):  # at every byte, not only at multiples of 8
            words = np.frombuffer(content, "<u8", (len(content) - at) // 8, at)
            assert not np.isin(words[words >= addresses.min()], addresses).any()
        assert not any(name in content for name in hidden)
    assert not (numbers(true, PIDS) & numbers(made, PIDS)) - {0}
    shown = manifest.read(made, path)
    recorder = manifest.read(true, trace).recorder.pid
    assert recorder != shown.recorder.pid
    assert recorder not in numbers(made, PIDS)


def test_no_planted_value_is_left(tmp_path: Path) -> None:
    """Plant a unique value in every field that identifies the machine, the user or the workload."""
    event = Event(1, ADDRESS, call_site=ADDRESS + 8, cache=ADDRESS + 16, tid=PID, stack_id=7)
    cache = {
        "cache": ADDRESS + 16, "name": f"kmalloc-64(3:{SECRET})", "aliases": [f"x(4:{SECRET})"],
        "object_size": 64, "size": 64, "slab_flags": 0, "order": 0, "objects_per_slab": 64,
        "reclaimable": False, "first_seen_ns": 0,
    }  # fmt: skip
    counted = dict.fromkeys(
        ("active_objs", "num_objs", "objsize", "objperslab", "pagesperslab", "num_slabs"), 1
    )
    slab = {"ts_ns": 2, "slab": ADDRESS, "cache": ADDRESS + 16, "stride": 64, "objects": 8, "free": b"\0"}
    tables = {
        "caches": [cache],
        "stacks": [{"stack_id": 7, "frames": [ADDRESS + 8, ADDRESS + 24]}],
        "symbols": [{"address": ADDRESS + 8, "name": "kept_name", "offset": 8, "module": "", "since_ns": 0}],
        "modules": [
            {
                "name": "kept_module",
                "version": SECRET,
                "srcversion": SECRET,
                "build_id": SECRET,
                "taint": "O",
                "begin": ADDRESS + 8,
                "size": ADDRESS + 8,
                "sections": [SECRET],
                "section_addresses": [ADDRESS + 8],
                "since_ns": 0,
            },
        ],
        "tasks": [{"ts_ns": 0, "tid": PID, "tgid": PID + 1, "comm": f"{SECRET}-task"}],
        "processes": [
            {
                "ts_ns": 0,
                "event": 3,
                "tgid": PID,
                "parent": PID + 1,
                "pid_ns": PID + 2,
                "net_ns": PID + 3,
                "hierarchy": 0,
                "cgroup": ADDRESS,
                "exe": f"/bin/{SECRET}",
                "command": f"x {SECRET}",
            }
        ],
        "cgroups": [
            {
                "ts_ns": 0,
                "event": 1,
                "hierarchy": 0,
                "cgroup": ADDRESS,
                "path": f"/{SECRET}.service",
                "controllers": "memory",
            }
        ],
        "slabinfo": [counted | {"name": f"kmalloc-64(3:{SECRET})"}],
        "slabs": [slab],
        "pins": [{"ts_ns": 2, "ptr": ADDRESS, "pinned": 1}],
        "charged": [{"ts_ns": 2, "ptr": ADDRESS, "hierarchy": 4, "cgroup": ADDRESS}],
        "objects": [
            {
                "ts_ns": 2,
                "ptr": ADDRESS,
                "in_use": True,
                "kind": "file",
                "description": f"/{SECRET}",
                "references": 1,
                "held": 5,
                "holders": [f"fd 1 of {SECRET} (pid {PID})"],
                "holder": ADDRESS,
            }
        ],
        "marks": [{"ts_ns": 1, "text": f"/home/{SECRET}"}],
    }
    host = Host(
        hostname=SECRET, release="6.18.1", version=SECRET, machine="x86_64", cpus=2, build_id=SECRET,
        memory_bytes=25_276_502_016, stext=ADDRESS + 32, boot_id=SECRET,
        os=OsRelease("debian", "12", SECRET), command_line=f"root={SECRET}", tainted=4096,
        red_left_pad={f"kmalloc-64(3:{SECRET})": 64},
    )  # fmt: skip
    said = Manifest(
        status=f"failed: /home/{SECRET} is full", host=host, started_at=f"2026 {SECRET}",
        realtime_minus_monotonic_ns=1_795_350_612_484_687_004,
        recorder=RecorderUse(pid=PID + 2, helpers=[Helper(PID + 3, 5, 6)]),
        options={
            "pid": PID, "comm": SECRET, "cgroup": f"/{SECRET}*", "cache": [f"x(4:{SECRET})"],
            "mode": "events", "new": [SECRET],
        },
        labels={"role": SECRET, "rack": f"{SECRET}2"},
        command=Command([f"/home/{SECRET}/run", SECRET], PID + 1, 3),
    )  # fmt: skip
    path = redacted(write_trace(tmp_path / f"{SECRET}.slab", [event], tables, manifest=said), tmp_path)
    files = files_of(path)
    for content in (*buffers(files), path.read_bytes()):
        assert SECRET.encode() not in content
        assert not any((ADDRESS + i).to_bytes(8, "little") in content for i in range(0, 40, 8))
        assert not any(pid.to_bytes(4, "little") in content for pid in (PID, PID + 1, PID + 2, PID + 3))
    shown = json.loads(files.open(schema.MANIFEST).read())
    hidden = (PID, PID + 1, PID + 2, PID + 3, ADDRESS + 32, 25_276_502_016, 1_795_350_612_484_687_004)
    assert not any(str(number) in json.dumps(shown) for number in hidden)
    assert (shown["host"]["release"], shown["host"]["cpus"], shown["redacted"]) == ("6.18.1", 2, True)
    assert [batch.column("name").to_pylist() for batch in batches(files, "symbols") if len(batch)] == [
        ["kept_name"]
    ]
    assert len(shown["command"]["argv"]) == 2
    assert shown["options"]["cgroup"] == "redacted"
    assert (shown["labels"], shown["host"]["tainted"]) == ({"role": "label-1", "rack": "label-2"}, 4096)
    assert shown["host"]["os"] == {"id": "debian", "version_id": "12", "pretty_name": ""}
    assert (shown["host"]["boot_id"], shown["host"]["command_line"]) == ("", "redacted")
    (row,) = [row for batch in batches(files, "modules") for row in batch.to_pylist()]
    assert (row["name"], row["taint"], row["build_id"], row["begin"]) == ("kept_module", "O", "", 0)
    assert (row["sections"], row["section_addresses"]) == ([], [])
