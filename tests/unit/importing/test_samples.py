# SPDX-License-Identifier: Apache-2.0
"""Recordings of other people, whose licences do not let them be here: their folder is $SLABTRACE_FOREIGN.

It has expected.tsv (counts that another program got), ftrace/, perf/, and ctf/ with the unpacked folders
bug446190 and uneven-streams.
"""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.analysis.trust.foreign import refusals
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording

PLACE = Path(os.environ.get("SLABTRACE_FOREIGN", "/nonexistent"))
pytestmark = pytest.mark.skipif(not PLACE.is_dir(), reason="$SLABTRACE_FOREIGN is not set to the samples")
NAMES = {
    "cache_alloc": "kmem_cache_alloc",
    "cache_free": "kmem_cache_free",
    "cache_alloc_node": "kmem_cache_alloc_node",
}
KINDS = ("kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kfree", "kmem_cache_free")


def expected() -> dict[str, dict[str, Any]]:
    """The counts of each sample, under the names of events, and paired, unknown, over live, null, live."""
    found = {}
    for row in (PLACE / "expected.tsv").read_text().splitlines() if PLACE.is_dir() else []:
        if "{" in row and "}" in row:
            name, counts = row.split(" ", 1)[0], ast.literal_eval(row[row.index("{") : row.index("}") + 1])
            live = int(row.split(" live ")[1].split()[0])
            found[name] = {NAMES.get(key, key): count for key, count in counts.items()} | {"live": live}
    return found


def folder_of(name: str) -> Path:
    if name.startswith("ctf/"):
        return PLACE / name
    return next(path for path in (PLACE / "ftrace" / name, PLACE / "perf" / name) if path.exists())


def imported(name: str, place: Path) -> tuple[Any, Any]:
    path = folder_of(name)
    if name.startswith("ctf/") and (not path.is_dir() or shutil.which("babeltrace2") is None):
        pytest.skip(f"{path} is not unpacked, or there is no babeltrace2")
    manifest = import_recording([Source(path)], place / "t.slab")
    return manifest, slabtrace.open(place / "t.slab")


@pytest.mark.parametrize("name", [each for each in expected() if "no-kmem" not in each])
def test_counts(tmp_path: Path, name: str) -> None:
    wanted = expected()[name]
    manifest, trace = imported(name, tmp_path)
    found, kinds = trace.completeness(), manifest.foreign.kinds
    assert kinds == {kind: wanted[kind] for kind in KINDS if kind in wanted}
    assert manifest.totals.null_frees == wanted.get("free_null", wanted.get("free of NULL", 0))
    assert found.missed_frees_inferred == wanted.get("alloc_over_live", wanted.get("alloc over live", 0))
    assert found.unmatched_frees == wanted.get("free_unknown", wanted.get("free of unknown", 0))
    assert found.outstanding == wanted["live"]
    paired = manifest.totals.allocs - found.outstanding - found.missed_frees_inferred
    assert paired == wanted.get("paired", 0)


def test_a_complete_recording_is_as_complete_as_tracepoints_are(tmp_path: Path) -> None:
    _, trace = imported("ctf/bug446190", tmp_path)
    found = trace.completeness()
    assert found.verdict.startswith("As complete as tracepoints are")
    assert not found.exact
    assert found.no_leak_list == []


def test_missing_cpus_are_found(tmp_path: Path) -> None:
    manifest, trace = imported("ctf/uneven-streams", tmp_path)
    assert manifest.foreign.cpus_missing == [0, 1, 3]
    assert "3 of 4 CPUs are missing" in refusals(manifest)[0]
    assert "618 unseen frees are proved" in trace.completeness().verdict
    assert trace.findings().empty


def test_the_firewire_log_leaks_nothing(tmp_path: Path) -> None:
    _, trace = imported("firewire-6.2-complete-lifecycles.txt", tmp_path)
    assert trace.findings().empty
    assert trace.verdict().refused == []


def test_a_filtered_trace_is_refused_although_the_leak_is_real(tmp_path: Path) -> None:
    manifest, trace = imported("memleak-module-5.4-trace-filtered.txt", tmp_path)
    assert trace.findings().empty
    assert "Frees were not recorded" in trace.verdict().refused[0]
    assert manifest.foreign.pointers == "hashed"


def test_lost_events_of_a_pipe(tmp_path: Path) -> None:
    manifest, trace = imported("trace_pipe-2010-lost-673.txt", tmp_path)
    assert (manifest.foreign.losses, manifest.foreign.lost) == ("known", 673)
    assert trace.completeness().lost == 673
