# SPDX-License-Identifier: Apache-2.0
"""Groups by process: the same numbers as a simple count, in memory that short-lived processes do not fill."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import slabtrace
from slabtrace.analysis.grouping import processes
from slabtrace.analysis.grouping.whose import Whose
from slabtrace.analysis.names.tasks import UNKNOWN_TGID
from slabtrace.api import Trace
from tests.unit.synthetic import Event, alloc, free, write_trace

PROCESSES, SITES = 400, 5


def build(folder: Path) -> tuple[Trace, list[Event]]:
    """Each process allocates two objects at each site.  Every 100th leaves as many of them as its number
    has hundreds at every site; all else is freed."""
    events, tasks, at = [], [], 0
    for process in range(1, PROCESSES + 1):
        tid = 1000 + process
        tasks.append({"ts_ns": 0, "tid": tid, "tgid": tid, "comm": f"cc{process}"})
        for site in range(SITES):
            for nth in range(5):
                at += 2
                ptr = 64 * at
                events.append(alloc(at, ptr, tid=tid, call_site=0x100 + site))
                if process % 100 or nth >= process // 100:
                    events.append(free(at + 1, ptr, tid=1))
    return slabtrace.open(write_trace(folder / "t", events, {"tasks": tasks})), events


def test_only_processes_that_left_objects_are_distinguished(tmp_path: Path) -> None:
    trace, _ = build(tmp_path)
    recorded, live = trace._recorded, trace._passes.summary.live
    split = processes.SitesByProcess(
        live, recorded.sites, Whose(recorded.tasks, recorded.processes, "process")
    )
    assert len(split.sites) == len(recorded.sites) + 4 * SITES, "not 400 for each site"
    found = Counter(zip(split.site.tolist(), split.process.tolist(), strict=True))
    assert set(found.values()) == {1}
    assert {process for _, process in found} == {UNKNOWN_TGID, 1100, 1200, 1300, 1400}
    for batch, split_batch in zip(recorded.events(), split.events(recorded.events()), strict=True):
        assert split.site[split_batch.site].tolist() == batch.site.tolist(), "the site stays"
        mine = split.process[split_batch.site].tolist()
        for free_, tid, process in zip(recorded.sites.free[batch.site], batch.tid, mine, strict=True):
            assert process == (tid if not free_ and tid % 100 == 0 else UNKNOWN_TGID)


def test_leaks_by_process_count_what_each_left_and_allocated(tmp_path: Path) -> None:
    trace, _ = build(tmp_path)
    table = trace.leaks(by="process")
    rows = {row["pids"][0]: row for row in table.to_dict("records")}
    assert {pid: row["outstanding"] for pid, row in rows.items()} == {
        1100: SITES, 1200: 2 * SITES, 1300: 3 * SITES, 1400: 4 * SITES
    }  # fmt: skip
    assert {row["allocated"] for row in rows.values()} == {5 * SITES}


def test_of_too_many_pairs_the_largest_are_distinguished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MOST_PAIRS", 2 * SITES)
    table = build(tmp_path)[0].leaks(by="process")
    found = {tuple(sorted(row["pids"])): row["outstanding"] for row in table.to_dict("records")}
    assert found == {(1400,): 4 * SITES, (1300,): 3 * SITES, (1100, 1200): 3 * SITES}
