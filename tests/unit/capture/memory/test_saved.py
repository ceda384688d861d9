# SPDX-License-Identifier: Apache-2.0
"""Saved copies: every form that is understood, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from slabtrace.capture.memory.saved import is_saved, read_copies
from slabtrace.errors import UsageError
from tests.unit.capture.memory.test_texts import SLABINFO


def meminfo(free: int) -> str:
    return f"MemTotal: 100 kB\nMemFree: {free} kB\n"


def frees(found: list[tuple[int, dict[str, int]]]) -> list[int]:
    return [counters["meminfo.MemFree"] // 1024 for _, counters in found]


def test_numbered_copies_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"meminfo.{number}").write_text(meminfo(number))
        (tmp_path / f"slabinfo.{number}").write_text(SLABINFO)
        os.utime(tmp_path / f"meminfo.{number}", (7, 7))  # all copied at once: no times
    (tmp_path / "meminfo_notes").write_text("nothing\n")
    copies = read_copies([tmp_path])
    assert frees(copies.samples) == [1, 2, 10]
    assert copies.samples[0][1]["slab.dentry"] == 5 * 4096
    assert copies.labels == ["1", "2", "10"]
    assert not copies.timed


def test_names_with_dates_have_times(tmp_path: Path) -> None:
    (tmp_path / "meminfo-20261129-120000").write_text(meminfo(1))
    (tmp_path / "meminfo-20261129-120100").write_text(meminfo(2))
    copies = read_copies([tmp_path])
    assert copies.timed
    assert copies.samples[1][0] - copies.samples[0][0] == 60 * 10**9


def test_folders_of_sosreport_and_their_uptime(tmp_path: Path) -> None:
    for name, uptime, free in (("friday", 90.5, 2), ("monday", 30.0, 1)):
        proc = tmp_path / name / "proc"
        (proc / "net").mkdir(parents=True)
        (proc / "meminfo").write_text(meminfo(free))
        (proc / "uptime").write_text(f"{uptime} 1.0\n")
        (proc / "net/sockstat").write_text("TCP: inuse 1 mem 3\n")
        (tmp_path / name / "sys").mkdir()
    copies = read_copies([tmp_path / "friday", tmp_path / "monday"])
    assert frees(copies.samples) == [1, 2]
    assert copies.samples[0][1]["sockstat.TCP.mem"] == 3 * 4096
    assert [ts for ts, _ in copies.samples] == [30 * 10**9, 90_500_000_000]


def test_two_sosreports_of_one_day_are_as_far_apart_as_their_uptimes(tmp_path: Path) -> None:
    """The folder's name has the date alone: both would be of midnight, or whole days apart."""
    for name, uptime, free in (
        ("sos-web1-2026-11-29-abc", 7200.0, 2),
        ("sos-web1-2026-11-30-def", 7800.0, 1),
    ):
        (tmp_path / name / "proc").mkdir(parents=True)
        (tmp_path / name / "proc/meminfo").write_text(meminfo(free))
        (tmp_path / name / "proc/uptime").write_text(f"{uptime} 1.0\n")
    copies = read_copies(sorted(tmp_path.iterdir()))
    assert copies.timed
    assert copies.samples[1][0] - copies.samples[0][0] == 600 * 10**9


def test_numbered_copies_beside_one_uptime_do_not_have_it(tmp_path: Path) -> None:
    for minute in (1, 2):
        (tmp_path / f"meminfo-20261129-12{minute:02}00").write_text(meminfo(minute))
    (tmp_path / "uptime").write_text("77.0 1.0\n")
    copies = read_copies([tmp_path])
    assert copies.samples[1][0] - copies.samples[0][0] == 60 * 10**9


def test_a_log_of_many_copies(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{1_790_000_000 + 60 * i}\n{meminfo(i)}" for i in range(3)))
    copies = read_copies([log])
    assert frees(copies.samples) == [0, 1, 2]
    assert copies.samples[2][0] == 1_790_000_120 * 10**9


def test_what_sadf_prints(tmp_path: Path) -> None:
    def record(second: int, free: int) -> dict[str, object]:
        stamp = {"date": "2026-11-29", "time": f"12:00:{second:02}", "utc": 1, "interval": 10}
        return {"timestamp": stamp, "memory": {"memfree": free, "slab": 7, "anonpg": 3}}

    path = tmp_path / "sa.json"
    statistics = [record(10, 5), record(20, 4), {"timestamp": {}}]
    path.write_text(json.dumps({"sysstat": {"hosts": [{"nodename": "x", "statistics": statistics}]}}))
    copies = read_copies([path])
    assert frees(copies.samples) == [5, 4]
    assert copies.samples[0][1]["meminfo.Slab"] == 7 * 1024
    assert copies.samples[1][0] - copies.samples[0][0] == 10 * 10**9
    assert "sar does not record" in copies.notes[0]


@pytest.mark.parametrize("text", ["{}", "{", '{"sysstat": {"hosts": [{"statistics": [1]}]}}', "[" * 5000])
def test_other_json_is_refused_or_has_no_copies(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError):
        read_copies([tmp_path / "a.json"])


def test_one_copy_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "meminfo.1").write_text(meminfo(1))
    with pytest.raises(UsageError, match="1 of the two copies"):
        read_copies([tmp_path])


def test_links_and_fifos_of_a_stranger_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "meminfo.1").symlink_to("/proc/meminfo")
    os.mkfifo(tmp_path / "1/meminfo.2")
    with pytest.raises(UsageError):
        read_copies([tmp_path])


def test_a_trace_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "t.slab.zip").write_bytes(b"PK\3\4rest")
    assert not is_saved(tmp_path)
    assert not is_saved(tmp_path / "t.slab.zip")
    assert not is_saved(tmp_path / "missing")
    (tmp_path / "log").write_text("MemTotal: 1 kB\n")
    assert is_saved(tmp_path / "log")
