# SPDX-License-Identifier: Apache-2.0
"""Which hierarchies --cgroup judges, and which cgroups it finds at the start, in a made-up /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.capture.kernel.cgroup_shape import CgroupShape
from slabtrace.capture.process.cgroup_tree import cgroups_of
from slabtrace.capture.process.running import Hierarchy
from slabtrace.capture.programs.cgroup_filter import MOST, CgroupFilter
from slabtrace.capture.programs.glob_automaton import cgroup_glob
from slabtrace.errors import CaptureError

SHAPE = CgroupShape({"CGROUP_SELF": 0, "CSS_PARENT": 8, "CSS_CGROUP": 0}, {"memory": 80, "pids": 96})
V2 = ("0::/", "cgroup2 cgroup2 rw")
MEMORY = ("4:memory:/x", "cgroup cgroup rw,memory")
PIDS = ("3:pids:/x", "cgroup cgroup rw,pids")
SYSTEMD = ("9:name=systemd:/", "cgroup cgroup rw,name=systemd")


def made(folder: Path, *mounted: tuple[str, str], glob: str = "*") -> CgroupFilter:
    """A filter on a machine with these hierarchies, each mounted below `folder`."""
    proc = folder / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("".join(f"{line}\n" for line, _ in mounted))
    lines = []
    for number, (_, options) in enumerate(mounted):
        (folder / f"mount-{number}/a/b").mkdir(parents=True)
        lines.append(f"3{number} 23 0:26 / {folder}/mount-{number} rw - {options}\n")
    (proc / "self/mountinfo").write_text("".join(lines))
    return CgroupFilter(cgroup_glob(glob), SHAPE, proc)


@pytest.mark.parametrize(
    ("mounted", "judged", "defines"),
    [
        ((V2,), [0], {}),
        ((SYSTEMD, V2, PIDS, MEMORY), [0, 4], {"CGROUP1": 4, "CGROUP1_CSS": 80}),
        ((V2, PIDS), [0, 3], {"CGROUP1": 3, "CGROUP1_CSS": 96}),
        ((MEMORY,), [4], {"CGROUP1": 4, "CGROUP1_CSS": 80}),
        ((V2, SYSTEMD), [0], {}),
    ],
)
def test_the_hierarchies_that_count(
    tmp_path: Path, mounted: tuple[tuple[str, str], ...], judged: list[int], defines: dict[str, int]
) -> None:
    found = made(tmp_path, *mounted)
    assert [each.number for each in found.judged] == judged
    expected = {"CGROUP_WORDS": 1, "WANTED_CGROUPS": MOST} | SHAPE.numbers | defines
    assert found.defines() == expected
    assert found.unjudged == 0


def test_the_cgroups_that_are_there(tmp_path: Path) -> None:
    found = made(tmp_path, V2, MEMORY, glob="/a/*")
    inode = [(tmp_path / f"mount-{number}/a/b").stat().st_ino for number in (0, 1)]
    assert found.wanted() == {(0, inode[0]), (4, inode[1])}


def test_where_nothing_is_mounted_or_there_are_no_cgroups(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no cgroup file system is mounted") as refused:
        made(tmp_path)
    assert refused.value.remedy and "mount -t cgroup2" in refused.value.remedy
    with pytest.raises(CaptureError, match="this kernel has no cgroups") as refused:
        CgroupFilter(cgroup_glob("*"), None)
    assert refused.value.remedy and "--follow" in refused.value.remedy


@pytest.mark.parametrize("root", ["/", "/pod"])
def test_the_cgroups_of_a_hierarchy(tmp_path: Path, root: str) -> None:
    for name in ("a/b", "c", "a/b/\udcff"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/cgroup.procs").write_text("")
    found = dict(cgroups_of(Hierarchy(0, "", tmp_path, root)))
    inside = root.rstrip("/")
    names = ["", "/a", "/a/b", "/c", "/a/b/\udcff"]
    assert sorted(found) == sorted([root, *(f"{inside}{name}" for name in names[1:])])
    assert found[f"{inside}/a/b"] == os.stat(tmp_path / "a/b").st_ino
    assert list(cgroups_of(Hierarchy(0, "", tmp_path / "gone", root))) == []
