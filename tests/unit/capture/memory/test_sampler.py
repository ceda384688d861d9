# SPDX-License-Identifier: Apache-2.0
"""Sampling: what changed, what is due, and what cannot be read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from slabtrace.capture.memory.pipes import pipes
from slabtrace.capture.memory.sampler import MemorySampler
from slabtrace.capture.memory.sources import COST_SHARE, Source, _directories, sources
from slabtrace.capture.memory.watch import MemoryWatch, Rows


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_only_changes_are_returned_and_all_on_request() -> None:
    values = {"meminfo.A": 1, "meminfo.B": 2}
    sampler = MemorySampler([Source("f", 0, lambda: dict(values))], Clock(), Clock())
    assert sampler.sample() == values
    values["meminfo.B"] = 3
    assert sampler.sample() == {"meminfo.B": 3}
    assert sampler.sample() == {}
    assert sampler.sample(everything=True) == values


def test_a_caller_that_freed_all_is_zero_but_a_line_of_meminfo_is_not() -> None:
    texts = [{"vmalloc.a": 1, "vmalloc.b": 2}, {"vmalloc.a": 1}, {"vmalloc.a": 1}]
    sampler = MemorySampler([Source("f", 0, lambda: texts.pop(0))], Clock(), Clock())
    assert [sampler.sample() for _ in range(3)] == [{"vmalloc.a": 1, "vmalloc.b": 2}, {"vmalloc.b": 0}, {}]
    lines = [{"meminfo.A": 1, "meminfo.B": 1}, {"meminfo.A": 1}]
    sampler = MemorySampler([Source("f", 0, lambda: lines.pop(0))], Clock(), Clock())
    assert [sampler.sample() for _ in range(2)] == [{"meminfo.A": 1, "meminfo.B": 1}, {}]


def test_a_source_is_read_after_its_period_and_a_dear_one_later() -> None:
    clock, cpu, reads = Clock(), Clock(), []

    def dear() -> dict[str, int]:
        reads.append(clock.now)
        cpu.now += 7
        return {"meminfo.A": 1}

    sampler = MemorySampler([Source("f", 100, dear)], clock, cpu)
    for clock.now in range(0, 8000, 10):
        sampler.sample()
    assert reads == [0, 7 * COST_SHARE, 14 * COST_SHARE]
    assert sampler.cost_ns == {"f": 7}


def test_what_cannot_be_read_is_said_until_it_can() -> None:
    errors: list[Exception] = [PermissionError(13, "Permission denied"), ValueError("too long")]

    def read() -> dict[str, int]:
        if errors:
            raise errors.pop(0)
        return {"meminfo.A": 1}

    sampler = MemorySampler([Source("f", 0, read)], Clock(), Clock())
    found = [(sampler.sample(), dict(sampler.unread)) for _ in range(3)]
    assert found == [
        ({}, {"f": "Permission denied"}),
        ({}, {"f": "too long"}),
        ({"meminfo.A": 1}, {}),
    ]


def test_the_sources_read_files_of_proc(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemFree: 4 kB\n")
    (tmp_path / "cgroups").write_text("memory\t4\t52\t1\n")
    (tmp_path / "slabinfo").mkdir()
    sampler = MemorySampler(sources(tmp_path, alone=True))
    assert sampler.sample() == {"meminfo.MemFree": 4096, "cgroups.memory": 52}
    assert sampler.unread[f"{tmp_path}/vmstat"] == "No such file or directory"
    assert sampler.unread[f"{tmp_path}/slabinfo"] == "Is a directory"


def test_a_cgroup_that_is_removed_while_directories_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three directories, one of which goes between its listing and its reading; 7 cgroups, so 5 are dying."""
    (tmp_path / "memory/kept").mkdir(parents=True)
    (tmp_path / "memory/gone").mkdir()
    (tmp_path / "cgroups").write_text("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t7\t1\n")
    scandir = os.scandir

    def scan(path: str) -> object:
        if path.endswith("gone"):
            os.rmdir(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert _directories(tmp_path / "memory", tmp_path) == {
        "cgroups.memory.directories": 2,
        "cgroups.memory.dying": 5,
    }


def test_the_watch_hands_over_a_whole_first_and_last_sample() -> None:
    values, found, first = {"meminfo.A": 1, "meminfo.B": 2}, [], threading.Event()

    def take(rows: Rows, unread: dict[str, str]) -> None:
        found.append((rows, unread))
        first.set()

    def unreadable() -> dict[str, int]:
        raise ValueError("no")

    sampler = MemorySampler([Source("f", 0, lambda: dict(values)), Source("g", 0, unreadable)])
    watch = MemoryWatch(take, 3600, sampler=sampler)
    assert first.wait(60)
    watch.close()
    rows = [row for row, _ in found]
    assert [row["counter"] for row in rows] == [["meminfo.A", "meminfo.B"]] * 2
    assert [row["value"] for row in rows] == [[1, 2]] * 2
    assert rows[0]["ts_ns"][0] <= rows[1]["ts_ns"][0]
    assert [unread for _, unread in found] == [{"g": "no"}] * 2


def test_the_bytes_in_a_pipe_of_another_process_are_counted(tmp_path: Path) -> None:
    """A folder as of /proc, with this process alone in it."""
    import os

    reading, writing = os.pipe()
    folder = tmp_path / str(os.getpid())
    (folder / "fd").mkdir(parents=True)
    for fd in (reading, writing):
        (folder / "fd" / str(fd)).symlink_to(f"pipe:[{os.fstat(fd).st_ino}]")
    try:
        os.write(writing, bytes(1009))
        try:
            found = pipes(tmp_path).read()
        except PermissionError:
            pytest.skip("this user may not use pidfd_getfd")
        assert found == {"pipes.bytes": 1009, "pipes.number": 1}
    finally:
        os.close(reading)
        os.close(writing)
