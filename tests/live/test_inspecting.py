# SPDX-License-Identifier: Apache-2.0
"""What objects are and who holds them, on the running kernel: 211 of each of ten kinds, of one process each.

keeper.py keeps them.  Others have such objects, too, so each test looks only at those that the keeper's names
or file descriptors tell apart.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import slabtrace
from slabtrace.capture.inspecting.census import Counting
from slabtrace.capture.inspecting.inspector import Inspector
from slabtrace.capture.inspecting.kinds.paths import dentry_paths
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.pace import Pace
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.storing.inspection import LEFT_OUT
from slabtrace.trace import manifest
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.schema import Held
from tests.live import churn, keeper
from tests.live.conftest import PATIENCE_S, Leaver, Recording, wait_for
from tests.live.kept import COUNT, KIND_NAMES, ends, kept, select
from tests.live.ordinary_user import NOBODY


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    opened = Machine.opened()
    yield opened
    opened.close()


def inspector(machine: Machine) -> Inspector:
    return Inspector(machine, Pace(PATIENCE_S))


@pytest.mark.parametrize("kind", keeper.KINDS)
def test_each_object_is_recognised_and_its_holder_found(
    machine: Machine, kind: str, pytestconfig: pytest.Config
) -> None:
    """Beside noise too many slabs may change while a search reads them; then the next search counts."""
    patience = PATIENCE_S if pytestconfig.getoption("--noise") else 0.0
    with kept(kind) as truth:
        kinds = wait_for(lambda: _kinds_of_most(machine, kind, truth), patience)
    assert set(kinds) <= {KIND_NAMES[kind], ""} and kinds.total() <= COUNT


def _kinds_of_most(machine: Machine, kind: str, truth: dict[str, Any]) -> Counter[str]:
    """The kinds of those objects whose right holder a search finds; empty if these are too few."""
    looking = inspector(machine)
    found = select(kind, looking, truth)
    chains, searched = looking.holders(found, 2)
    assert searched.whole
    held = np.array([each for each in found.tolist() if ends(kind, chains[each], truth)], np.uint64)
    things, by_holder = looking.things(held), looking.kinds_by_holder()
    kinds = Counter(thing.kind or by_holder.get(thing.address, "") for thing in things)
    return kinds if kinds[KIND_NAMES[kind]] >= 0.95 * COUNT else Counter()


def test_nothing_is_described_as_what_it_no_longer_is(machine: Machine, tmp_path: Any) -> None:
    """Beside a process that frees and re-uses memory all the time, names must fit what they name."""
    argv = [sys.executable, "-m", churn.__name__, str(tmp_path)]
    with subprocess.Popen(argv) as process:
        try:
            wait_for(lambda: any(tmp_path.iterdir()))
            described_objects = wrong = 0
            while described_objects < 10_000:
                looking = inspector(machine)
                for cache in ("dentry", "filp"):
                    addresses = _in_folder(looking, cache, str(tmp_path))
                    things = [each for each in looking.things(addresses) if str(tmp_path) in each.text]
                    described_objects += len(things)
                    wrong += sum(not _fits(each.kind, each.text) for each in things)
        finally:
            process.kill()
    assert wrong == 0


def _in_folder(looking: Inspector, cache: str, folder: str) -> UInt64:
    objects: Objects = looking.all_of(cache)
    if cache == "filp":
        return objects.address
    parents = objects.u64(looking.scene.layout["dentry.d_parent"])
    several = np.unique(parents)
    paths = dentry_paths(looking.scene, several)
    inside = np.array([path.startswith(folder) for path in paths], np.bool_)
    return objects.address[np.isin(parents, several[inside])]


def _fits(kind: str, text: str) -> bool:
    """A name that never exists is negative, and no open file has it."""
    if "missing-" not in text:
        return kind != "file" or "there-" in text or "turn-" in text
    return kind == "dentry" and text.startswith("negative ")


def test_a_census_counts_what_the_kernel_counts(machine: Machine) -> None:
    """The keeper's objects come and go between two censuses."""

    def dentries(folder: str) -> int:
        counting = Counting(inspector(machine)).count(0, 1)
        wanted = f"negative in {folder}"
        return sum(each.objects for each in counting.groups if each.group == wanted)

    with kept("negative_dentries") as truth:
        assert dentries(truth["name"]) == COUNT
    assert dentries(truth["name"]) == 0


def test_cached_files_of_others_are_not_lost(machine: Machine) -> None:
    """Of open files, each has somebody who holds it; so none may be without a holder for long."""
    looking = inspector(machine)
    files = looking.kind_objects("filp")
    chains, searched = looking.holders(files, 2)
    again = inspector(machine)
    alone = np.array([each for each in files.tolist() if chains[each].worth == Held.NOTHING], np.uint64)
    alone = alone[np.isin(alone, again.kind_objects("filp"))]
    assert searched.whole
    assert len(alone) <= len(files) // 50  # those that are just being opened or closed


def test_a_recording_says_who_holds_what_was_outstanding(start_recording: Callable[..., Recording]) -> None:
    """The keeper's events come while it is recorded: a sample of them is in objects.arrow."""
    recording = start_recording("--inspect", "30s", "--inspect-cpu", "100%", "--cache", "kmalloc*")
    recording.wait_events(1)
    with kept("inotify_events") as truth:
        status, stderr = recording.end()
    assert status == 0, stderr
    account = recording.manifest().inspection
    assert account is not None and account.whole, account
    found = slabtrace.open(recording.trace).inspected()
    events = found[found["kind"] == KIND_NAMES["inotify_events"]]
    mine = events[events["holders"].map(lambda each: f"(pid {truth['pid']})" in each[-1])]
    assert len(mine) >= 20  # the sample of a finding
    assert set(mine["held"]) == {"process"}


def test_a_recording_inspects_unless_told_otherwise(record_leaver: Callable[..., Leaver]) -> None:
    """And reads the slabs once more: of objects that came meanwhile it has to be known, too, that they are
    in use.
    """
    trace = record_leaver(41, 0, 0, 0).trace
    account = manifest.load(trace).inspection
    assert account is not None and account.objects
    slabs, objects = (pa.ipc.open_file(trace / f"{name}.arrow").read_all() for name in ("slabs", "objects"))
    inspected_ns = pc.max(objects["ts_ns"]).as_py()
    assert pc.min(slabs["ts_ns"]).as_py() < inspected_ns < pc.max(slabs["ts_ns"]).as_py()


def choosing(recorder: int) -> bool:
    """Whether the findings are being chosen: the inspection has begun."""
    children = Path(f"/proc/{recorder}/task").glob("*/children")
    pids = " ".join(each.read_text() for each in children).split()
    return any(b"to_inspect" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


def test_a_second_ctrl_c_leaves_the_inspection_out(start_recording: Callable[..., Recording]) -> None:
    recording = start_recording("--inspect", "600s")
    recording.wait_events(1)
    recording.process.send_signal(signal.SIGINT)
    wait_for(lambda: choosing(recording.process.pid))
    assert recording.end() == (0, ANY)
    account = recording.manifest().inspection
    assert account is not None and (account.objects, account.problem) == (0, LEFT_OUT)


def test_who_sends_sigterm_does_not_wait_for_it(start_recording: Callable[..., Recording]) -> None:
    recording = start_recording("--inspect", "600s")
    recording.wait_events(1)
    assert recording.end(signal.SIGTERM) == (0, ANY)
    account = recording.manifest().inspection
    assert account is not None and account.problem == LEFT_OUT


def test_without_inspect_nothing_is_inspected(start_recording: Callable[..., Recording]) -> None:
    recording = start_recording("--no-inspect")
    recording.wait_events(1)
    assert recording.end()[0] == 0
    assert recording.manifest().inspection is None


def test_a_recorder_behind_sudo_inspects_too(
    start_recording: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nobody by then, with few capabilities; its Python may be one that only root can run."""
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    recording = start_recording("--inspect", "30s", "--inspect-cpu", "100%", "--cache", "kmalloc*")
    recording.wait_events(1)
    with kept("inotify_events"):
        assert recording.end()[0] == 0
    account = recording.manifest().inspection
    assert account is not None
    assert account.objects or "the findings could not be read" in account.problem
