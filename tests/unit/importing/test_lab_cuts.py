# SPDX-License-Identifier: Apache-2.0
"""Cuts of one run of the lab that perf, ftrace and trace-cmd recorded: what its module left is in each.

The module's functions leave as many objects as tests/kernels/workload.py says; of what they free by paths
that have a tracepoint nothing is left.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording
from tests.kernels.workload import FAULTS
from tests.places import FIXTURES

CUTS = sorted((FIXTURES / "imports").glob("*.txt.gz"))
LEFT = {each.name: each.kept for each in FAULTS if each.name in ("leak_kmalloc", "leak_node", "leak_cache")}
FREED_BY_RCU = next(each.count for each in FAULTS if each.name == "free_rcu")


@pytest.fixture(params=CUTS, ids=lambda path: path.name.removesuffix(".txt.gz"))
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> Trace:
    text = tmp_path / "cut.txt"
    text.write_bytes(gzip.decompress(request.param.read_bytes()))
    import_recording([Source(text)], tmp_path / "t.slab")
    return slabtrace.open(tmp_path / "t.slab")


def test_there_are_cuts_of_three_tools() -> None:
    assert {path.name.split("-", 1)[1].removesuffix(".txt.gz") for path in CUTS} == {
        "perf",
        "ftrace",
        "trace-cmd",
    }


def test_what_the_module_left_is_outstanding(trace: Trace) -> None:
    """kfree_rcu has no tracepoint: what it freed looks outstanding until its address is used again."""
    groups = trace.outstanding("call_site")
    counts = sorted(groups["outstanding"].tolist())
    by_rcu = [each for each in counts if each not in LEFT.values()]
    assert sorted(set(counts) - set(by_rcu)) == sorted(LEFT.values())
    assert len(counts) == len(LEFT) + 1 and 0 < by_rcu[0] <= FREED_BY_RCU
    assert "kfree_rcu" in trace.completeness().verdict and not trace.completeness().exact


def test_functions_are_named_where_the_recording_names_them(trace: Trace) -> None:
    """perf names no function of a module that was loaded after perf began."""
    foreign = trace.manifest.foreign
    assert foreign is not None
    groups = trace.outstanding("call_site").to_dict("records")
    named = {row["symbol"].split("+")[0]: row["outstanding"] for row in groups}
    found = {name: named.get(name) for name in LEFT}
    assert found == (LEFT if foreign.tool != "perf" else dict.fromkeys(LEFT))
