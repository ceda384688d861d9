# SPDX-License-Identifier: Apache-2.0
"""Snapshots in the kernel's forms, what grew between them, and kmemleak's objects found in a trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.commands.main import run
from slabtrace.errors import TraceError, UsageError
from slabtrace.importing.snapshots.growth import growth
from slabtrace.importing.snapshots.parsing import Count, Snapshot, read_snapshots
from tests.unit.importing.imports import HEADER, alloc, free, line, manifest_of

SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit>
dentry            {0}   42000    192   21    1 : tunables    0    0    0 : slabdata   2000   2000      0
kmalloc-64        500   512     64   64    1 : tunables    0    0    0 : slabdata      8      8      0
"""
ALLOCINFO = """allocinfo - version: 1.0
#     <size>  <calls> <tag info>
       {0}      {1} drivers/leaky.c:20 [leaky] func:leaky_start
        4096        1 mm/slub.c:2259 func:alloc_slab_page
"""
ALLOC_TRACES = """     38 probe_it+0x2c/0xa0 waste=1520/40 age=100/2000/30509 pid=1 cpus=0-1 nodes=0
        __kmem_cache_alloc_node+0x11f/0x400
        probe_it+0x2c/0xa0
      7 other+0x1/0x2 [mod] age=12 pid=1-5
"""
KMEMLEAK = """unreferenced object 0x{0:x} (size 64):
  comm "leaker", pid 41, jiffies 4294900001 (age 59.250s)
  hex dump (first 16 bytes):
    00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00  ................
  backtrace:
    [<00000000aaaa0001>] __kmalloc+0x13c/0x330
    [<00000000aaaa0002>] leaky_open+0x70/0xb0 [leaky]
"""


def written(place: Path, name: str, text: str, time_s: int = 1_700_000_000) -> Path:
    path = place / name
    path.write_text(text)
    os.utime(path, (time_s, time_s))
    return path


def test_slabinfo(tmp_path: Path) -> None:
    (found,) = read_snapshots(written(tmp_path, "s", SLABINFO.format(41900)))
    assert found.kind == "slabinfo"
    assert found.counts == {"dentry": Count(41900, 41900 * 192), "kmalloc-64": Count(500, 32000)}
    assert found.time_s == 1_700_000_000


def test_allocinfo(tmp_path: Path) -> None:
    (found,) = read_snapshots(written(tmp_path, "a", ALLOCINFO.format(640, 10)))
    assert found.counts["drivers/leaky.c:20 [leaky] func:leaky_start"] == Count(10, 640)


def test_alloc_traces(tmp_path: Path) -> None:
    (found,) = read_snapshots(written(tmp_path, "t", ALLOC_TRACES))
    assert found.counts == {
        "probe_it+0x2c/0xa0": Count(38, 0, 30509.0),
        "other+0x1/0x2 [mod]": Count(7, 0, 12.0),
    }


def test_kmemleak(tmp_path: Path) -> None:
    text = KMEMLEAK.format(0xFFFF888000001040) + KMEMLEAK.format(0xFFFF888000001080)
    (found,) = read_snapshots(written(tmp_path, "k", text))
    assert found.counts == {"leaky_open+0x70/0xb0 [leaky]": Count(2, 128, 59.25)}
    assert [each.ptr for each in found.reported] == [0xFFFF888000001040, 0xFFFF888000001080]


def test_several_moments_in_one_file(tmp_path: Path) -> None:
    text = "".join(f"{1_700_000_000 + 60 * n}\n{SLABINFO.format(100 + n)}" for n in range(3))
    found = read_snapshots(written(tmp_path, "s", text))
    assert [each.time_s for each in found] == [1_700_000_000, 1_700_000_060, 1_700_000_120]
    assert [each.counts["dentry"].objects for each in found] == [100, 101, 102]


def test_something_else(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no snapshot"):
        read_snapshots(written(tmp_path, "x", "hello\n"))


def series(*counts: int) -> list[Snapshot]:
    return [
        Snapshot("slabinfo", 1000.0 + 60 * n, {"leak": Count(each, 64 * each), "flat": Count(5 + n % 2, 320)})
        for n, each in enumerate(counts)
    ]


def test_what_rises_each_time_grows() -> None:
    frame = growth(series(*range(100, 120))).set_index("place")
    assert frame.loc["leak", ["grown_objects", "rises", "falls"]].tolist() == [19, 19, 0]
    assert frame["grows"].to_dict() == {"leak": True, "flat": False}
    assert frame.loc["leak", "growth_bytes_per_s"] == pytest.approx(19 * 64 / (19 * 60))
    assert frame.loc["leak", "p"] == pytest.approx(0.5**19)


def test_two_snapshots_never_say_that_it_grows() -> None:
    assert not growth(series(100, 100_000))["grows"].any()


def test_snapshots_of_two_kinds() -> None:
    with pytest.raises(UsageError, match="several kinds"):
        growth([Snapshot("slabinfo", counts={"a": Count(1)}), Snapshot("allocinfo", counts={"b": Count(1)})])


def test_the_objects_of_kmemleak_are_found_in_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, leaked = 0xFFFF888000000000, []
    parts = []
    for n in range(60):
        parts.append(line(alloc(base + 64 * n, site="leaky_open+0x70/0xb0 [leaky]"), 1 + n))
        if n % 3:
            parts.append(line(free(base + 64 * n), 1.5 + n))
        else:
            leaked.append(base + 64 * n)
    manifest_of(tmp_path, HEADER.format(len(parts), len(parts), 1) + "".join(parts))
    reported = written(tmp_path, "k", "".join(map(KMEMLEAK.format, [*leaked[:17], 0xFFFF999900000000])))
    assert run(["import", "--snapshot", str(reported), "--beside", str(tmp_path / "t.slab")]) == 0
    assert "kmemleak reports 17 of the objects of finding #1" in capsys.readouterr().out


def test_hashed_pointers_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest_of(tmp_path, line(alloc(0x3218205)))
    reported = written(tmp_path, "k", KMEMLEAK.format(1))
    assert run(["import", "--snapshot", str(reported), "--beside", str(tmp_path / "t.slab")]) == 2
    assert "no addresses to compare" in capsys.readouterr().err
