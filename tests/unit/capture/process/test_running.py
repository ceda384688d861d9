# SPDX-License-Identifier: Apache-2.0
"""Processes and cgroups from a made-up /proc, and this test's own from the real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.capture.process.census import descendants, processes_since
from slabtrace.capture.process.running import (
    MOST_BYTES,
    Hierarchy,
    RunningProcess,
    cgroup_number,
    hierarchies,
    running_processes,
)

STAT = "7 (a b) c) S 3 " + " ".join(["0"] * 17) + " 500 " + " ".join(["0"] * 20)


def process(proc: Path, tgid: int, cgroup: str = "0::/a\n", args: bytes = b"x\0y\0") -> None:
    folder = proc / str(tgid)
    (folder / "ns").mkdir(parents=True)
    (folder / "stat").write_text(STAT)
    (folder / "cmdline").write_bytes(args)
    (folder / "cgroup").write_text(cgroup)
    (folder / "exe").symlink_to("/bin/x (deleted)")
    (folder / "ns/pid").symlink_to("pid:[11]")
    (folder / "ns/net").symlink_to("net:[12]")


def test_a_process(tmp_path: Path) -> None:
    process(tmp_path, 7, "4:memory:/m: odd (deleted)\n0::/a\n")
    (found,) = running_processes(tmp_path)
    assert found._replace(started_ns=0) == RunningProcess(
        0, 7, 3, "/bin/x", b"x\0y\0", 11, 12, [(4, "/m: odd"), (0, "/a")]
    )


def test_a_command_line_of_two_megabytes_is_not_read_whole(tmp_path: Path) -> None:
    process(tmp_path, 7, args=b"z" * (2 << 20))
    (found,) = running_processes(tmp_path)
    assert len(found.args) == MOST_BYTES


def test_what_may_not_be_read_is_left_empty(tmp_path: Path) -> None:
    process(tmp_path, 7)
    for name in ("exe", "ns/pid", "cgroup"):
        (tmp_path / "7" / name).unlink()
    (found,) = running_processes(tmp_path)
    assert (found.exe, found.pid_ns, found.net_ns, found.cgroups) == ("", 0, 12, [])


def test_a_process_that_ends_meanwhile_is_left_out(tmp_path: Path) -> None:
    process(tmp_path, 7)
    (tmp_path / "7/cmdline").unlink()
    assert list(running_processes(tmp_path)) == []


def test_hierarchies(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("9:name=systemd:/\n4:cpu,cpuacct:/x\n0::/\n")
    mounts = [
        r"31 23 0:26 / /sys/fs/cgroup/uni\040fied rw - cgroup2 cgroup2 rw,nsdelegate",
        "32 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
        "33 23 0:28 /x /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
        "34 23 0:29 / /proc rw - proc proc rw",
    ]
    (tmp_path / "self/mountinfo").write_text("\n".join(mounts) + "\n")
    assert hierarchies(tmp_path) == [
        Hierarchy(0, "", Path("/sys/fs/cgroup/uni fied"), "/"),
        Hierarchy(4, "cpu,cpuacct", Path("/sys/fs/cgroup/cpu"), "/x"),
        Hierarchy(9, "name=systemd", Path("/sys/fs/cgroup/systemd"), "/"),
    ]


@pytest.mark.parametrize(("root", "path"), [("/", "/a/b"), ("/pod", "/pod/a/b")])
def test_the_number_of_a_cgroup_is_that_of_its_folder(tmp_path: Path, root: str, path: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    hierarchy = Hierarchy(0, "", tmp_path, root)
    assert cgroup_number(hierarchy, path) == (tmp_path / "a/b").stat().st_ino
    assert cgroup_number(hierarchy, "/gone") == 0


def test_descendants(tmp_path: Path) -> None:
    for tgid, parent in ((3, 1), (7, 3), (8, 7), (9, 8), (10, 1), (11, 10)):
        process(tmp_path, tgid)
        (tmp_path / f"{tgid}/stat").write_text(STAT.replace("S 3", f"S {parent}"))
    assert descendants(7, tmp_path) == {7, 8, 9}
    assert descendants(10, tmp_path) == {10, 11}
    assert descendants(99, tmp_path) == {99}


def test_a_proc_that_hides_processes_of_others_says_nothing_of_the_end(tmp_path: Path) -> None:
    """hidepid: /proc/1, which is always there, is that of somebody else."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (sh) S 1" + " 0" * 30)
    assert processes_since(0, tmp_path) is None
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").write_text("1 (init) S 0" + " 0" * 30)
    assert processes_since(-(10**18), tmp_path) is not None


def test_this_process() -> None:
    mine = next(each for each in running_processes() if each.tgid == os.getpid())
    assert mine.parent == os.getppid()
    assert mine.exe == str(Path("/proc/self/exe").readlink())
    assert mine.net_ns == Path("/proc/self/ns/net").stat().st_ino
    assert Path("/proc/self/cmdline").read_bytes().startswith(mine.args)
