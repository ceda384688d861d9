# SPDX-License-Identifier: Apache-2.0
"""The memory that this process may use, as the files of made-up cgroups have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.capture.process import memory_limit
from slabtrace.capture.process.memory_limit import cgroup_limit, free_memory, machine_memory, usable_memory

MIB = 1 << 20


def proc(tmp_path: Path, cgroup: str, mountinfo: str) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    (tmp_path / "proc/self/mountinfo").write_text(mountinfo)
    return tmp_path / "proc"


def limit(folder: Path, name: str, value: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(value + "\n")


@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [
        ("max", "max", None),
        (str(300 * MIB), "max", 300 * MIB),
        ("max", str(200 * MIB), 200 * MIB),
        (str(300 * MIB), str(200 * MIB), 200 * MIB),
        (str(1 << 62), "max", None),  # more than there is
        ("what?", str(100 * MIB), 100 * MIB),
    ],
)
def test_the_least_limit_on_the_way_up(tmp_path: Path, own: str, above: str, expected: int | None) -> None:
    mount = tmp_path / "cgroup"
    limit(mount / "pods/one", "memory.max", own)
    limit(mount / "pods", "memory.max", above)
    files = proc(tmp_path, "0::/pods/one\n", f"30 1 0:26 / {mount} rw - cgroup2 cgroup2 rw\n")
    assert cgroup_limit(files) == expected
    assert usable_memory(files) == (expected or machine_memory())


def test_version_1(tmp_path: Path) -> None:
    mount = tmp_path / "memory"
    limit(mount / "box", "memory.limit_in_bytes", str(300 * MIB))
    limit(mount, "memory.limit_in_bytes", "9223372036854771712")
    text = f"30 1 0:26 / {mount} rw - cgroup cgroup rw,memory\n"
    text += f"31 1 0:27 / {tmp_path} rw - cgroup cgroup rw,cpu\n"
    assert cgroup_limit(proc(tmp_path, "4:memory:/box\n3:cpu:/elsewhere\n0::/\n", text)) == 300 * MIB


@pytest.mark.parametrize("path", ["/", "/docker/abc"])
def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path, path: str) -> None:
    """With a cgroup namespace its path is /, without it the mount shows the host's path as its root."""
    mount = tmp_path / "cgroup"
    limit(mount, "memory.max", str(64 * MIB))
    files = proc(tmp_path, f"0::{path}\n", f"30 1 0:26 {path} {mount} rw - cgroup2 cgroup2 rw\n")
    assert cgroup_limit(files) == 64 * MIB


@pytest.mark.parametrize(
    ("available", "used", "cached", "expected"),
    [(4000, 100, 0, 200), (4000, 290, 60, 70), (150, 100, 0, 150), (4000, 310, 0, 0)],
)
def test_what_is_free_is_what_the_machine_and_the_cgroup_have(
    tmp_path: Path, available: int, used: int, cached: int, expected: int
) -> None:
    mount = tmp_path / "cgroup"
    limit(mount / "box", "memory.max", str(300 * MIB))
    limit(mount / "box", "memory.current", str(used * MIB))
    limit(mount / "box", "memory.stat", f"anon 7\ninactive_file {cached * MIB}\nactive_file 5")
    limit(mount, "memory.max", "max")
    files = proc(tmp_path, "0::/box\n", f"30 1 0:26 / {mount} rw - cgroup2 cgroup2 rw\n")
    (files / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available * 1024} kB\n")
    assert free_memory(files) == expected * MIB


def test_nothing_can_be_seen(tmp_path: Path) -> None:
    files = proc(
        tmp_path, "0::/../elsewhere\n", f"30 1 0:26 / {tmp_path / 'cgroup'} rw - cgroup2 cgroup2 rw\n"
    )
    assert cgroup_limit(files) is None
    assert cgroup_limit(tmp_path / "no proc") is None


def test_this_machine_has_a_number() -> None:
    assert 0 < usable_memory() <= memory_limit.machine_memory()
    assert 0 < free_memory() < memory_limit.machine_memory()
