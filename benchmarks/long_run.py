# SPDX-License-Identifier: Apache-2.0
"""Simulate a day of recording: does memory stay constant, and disk use within --rotate and --keep?

The recorder's own storing half (intake, site table, merge, storing thread, series, carrying) stores
generated slots, 500 events a second.  Call sites of modules that are reloaded each hour, stacks and tasks
appear and disappear; slabinfo changes; every five seconds one object is leaked.  SLABTRACE_HOURS sets the
number of hours.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import slabtrace
from benchmarks import machine
from benchmarks.table import print_table
from slabtrace.capture.kernel.kallsyms import Symbol
from slabtrace.capture.programs.layout import event_dtype
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.capture.storing.storing import Storing
from slabtrace.capture.stream.intake import Intake, TaskName
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.capture.stream.stacks import StackReader
from slabtrace.series.parts import Rotation, parts_of
from slabtrace.series.series import Series
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import COMPLETE, Host, Manifest

STEP_S, EVENTS = 5, 2500  # seconds of simulated time in a step, events in a step
HOUR = 3600 // STEP_S  # steps
ROTATE_NS, KEEP = 3_600_000_000_000, 3
SITES, NEW_SITES, NEW_STACKS, TASKS, CHANGED = 400, 30, 2, 25, 20  # in total; per hour; per step (three)
RETURNS = 20_011  # different return addresses
STACKS = 1 << 17  # ids that the two maps of bpf/stack.h can hold
PIDS = 32_768
TEXT, HEAP, CACHE = 0xFFFF_FFFF_8100_0000, 0xFFFF_8880_0000_0000, 0xFFFF_8881_0000_0000
START_NS = 1_000_000_000_000


class MadeStacks(StackReader):
    """Twelve generated frames for each stack id."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def _read(self, stack_id: int) -> list[int]:
        return [TEXT + 64 * ((stack_id * 7 + depth) % RETURNS) for depth in range(12)]


class MadeKernel:
    """The part of a capture session that Storing uses."""

    def __init__(self) -> None:
        self.options = SimpleNamespace(stacks="none")
        self.kallsyms = SimpleNamespace(refresh=bool, resolve=lambda a: Symbol(f"f{a:x}", a & 63, ""))
        self.caches = {
            CACHE + i: SlabCache(CACHE + i, f"cache-{i}", 256, 256, 0, 0, 16, 0, False) for i in range(40)
        }
        self.aliases: dict[str, list[str]] = {}

    def cache_at(self, address: int) -> SlabCache | None:
        """One of forty caches."""
        return self.caches.get(address)

    def wanted(self, cache: SlabCache | None) -> bool:
        """No cache is filtered out."""
        return True


def main(quick: bool) -> None:
    """Print one row for each hour."""
    hours = int(os.environ.get("SLABTRACE_HOURS", "2" if quick else "24"))
    print(f"### {hours} h of simulated recording: --rotate 1h --keep {KEEP}\n")
    with tempfile.TemporaryDirectory(prefix="slabtrace-long-run-", dir="/var/tmp") as folder:
        name = Path(folder) / "t.slab"
        rows = _run(name, hours)
        titles = ("hour", "RSS MiB", "sites", "stacks", "symbols", "tasks known", "parts", "disk MiB")
        print_table(titles, rows)
        frame = slabtrace.open(parts_of(name)[-1]).outstanding("cache")
        left, wanted = int(frame["outstanding"].sum()), hours * HOUR
        print(f"outstanding in the last part: {left:,} of {wanted:,} leaked objects\n")


def _run(name: Path, hours: int) -> list[tuple[str, ...]]:
    manifest = Manifest(started_ns=START_NS, host=Host(cpus=2, release="6.18.0"))
    series = Series(name, manifest, Rotation(ns=ROTATE_NS, keep=KEEP))
    store = Storing(MadeKernel(), series, None)  # type: ignore[arg-type]
    store._stacks, store.span_ns = MadeStacks(), (START_NS, None)
    intake, rows = Intake(SiteTable()), []
    for step in range(hours * HOUR):
        now_ns = START_NS + (step + 1) * STEP_S * 10**9
        _one_step(intake, store, step, now_ns)
        store.rows("slabinfo", _slabinfo(step, now_ns))
        store.call(series.save_manifest)
        if step % HOUR == HOUR - 1:
            rows.append(_row(name, (step + 1) // HOUR, intake, store, series))
            machine.note(" ".join(rows[-1]))
    manifest.ended_ns = START_NS + (hours * HOUR + 1) * STEP_S * 10**9
    store.finish()
    series.close(COMPLETE)
    return rows


def _one_step(intake: Intake, store: Storing, step: int, now_ns: int) -> None:
    """Do what the recorder does with the slots that it drains."""
    slots = _slots(step, now_ns - STEP_S * 10**9)
    intake.accept(slots.view(np.uint64).reshape(len(slots), -1), step % 2)
    tids = 1000 + (np.arange(TASKS) + step * TASKS) % PIDS
    names = [TaskName(now_ns, tid, tid, f"task-{tid % 97}") for tid in tids.tolist()]
    for each in names:
        intake.knows(each.tid, each.tgid)
    done = threading.Event()
    tasks = intake.take_others()._replace(names=names)
    store.batch(intake.take(), now_ns, intake.sites.take_new(), tasks)
    store.call(done.set)
    done.wait()  # in a real recording of this rate the queue is empty before the next step


def _slots(step: int, begin_ns: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Slots of one step: objects that live for half a step, and one that is leaked."""
    half = EVENTS // 2
    slots = np.zeros(EVENTS, event_dtype())
    slots["ts_ns"] = begin_ns + np.arange(EVENTS) * (STEP_S * 10**9 // EVENTS)
    slots["ptr"] = HEAP + np.tile(np.arange(half), 2).astype(np.uint64) * np.uint64(256)
    slots["kind"][:half], slots["kind"][half:] = Kind.KMALLOC, Kind.KFREE
    site = np.arange(EVENTS) % SITES
    recent = site < NEW_SITES  # call sites in modules, which move each hour
    slots["call_site"] = TEXT + 64 * (site + np.where(recent, (step // HOUR + 1) * 4096, 0)).astype(np.uint64)
    slots["cache"] = CACHE + (site % 40).astype(np.uint64)
    slots["bytes_req"][:half] = slots["bytes_alloc"][:half] = 256
    slots["stack_id"] = site
    slots["stack_id"][:NEW_STACKS] = np.minimum(SITES + step * NEW_STACKS + np.arange(NEW_STACKS), STACKS - 1)
    slots["tid"] = slots["tgid"] = 1000 + (step * TASKS + site % TASKS) % PIDS
    slots["ptr"][-1], slots["kind"][-1] = HEAP + (1 << 38) + np.uint64(step * 256), Kind.KMALLOC
    slots["bytes_req"][-1] = slots["bytes_alloc"][-1] = 256
    slots["ptr"][half - 1], slots["kind"][half - 1] = 0xFFFF_8890_0000_0000, Kind.KFREE  # an older object
    return slots


def _slabinfo(step: int, now_ns: int) -> dict[str, list[Any]]:
    names = [f"cache-{(step + i) % 40}" for i in range(40 if step == 0 else CHANGED)]
    fixed = {"num_objs": 6400, "objsize": 256, "objperslab": 16, "pagesperslab": 1, "num_slabs": 400}
    columns = {name: [value] * len(names) for name, value in fixed.items()}
    return {
        "ts_ns": [now_ns] * len(names),
        "name": names,
        "active_objs": [step % 6400] * len(names),
        **columns,
    }


def _row(name: Path, hour: int, intake: Intake, store: Storing, series: Series) -> tuple[str, ...]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    parts = parts_of(name)
    size = sum(path.stat().st_size for part in parts for path in part.rglob("*.arrow"))
    stacks = len(store._stacks._known) if store._stacks else 0
    known = (len(intake.sites), stacks, len(store._known_symbols), len(series._last._rows["tasks"]))
    numbers = [f"{number:,}" for number in (*known, len(parts))]
    return (str(hour), f"{pages * 4096 / 2**20:.0f}", *numbers, f"{size / 2**20:.1f}")
