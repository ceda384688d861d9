# SPDX-License-Identifier: Apache-2.0
"""Wrong frees on this kernel, all the way from the programs to `slabtrace mismatches`.

No module can be loaded here that would free wrongly (tests/kernels has one), and no kernel should be
harmed: the attached programs are run on made-up arguments (BPF_PROG_TEST_RUN) in the middle of a real
recording.  The objects are real, so that their caches and layouts are: every struct kmem_cache is an
object of the cache called kmem_cache, and lives as long as the test.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.plan import Plan, new_manifest
from slabtrace.capture.recorder import Recorder
from slabtrace.capture.session import Session
from slabtrace.cli.watch import Watch
from slabtrace.errors import FOUND
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.writing.writer import TraceWriter
from tests.live.conftest import slabtrace_json, wait_for

# call sites
MADE, FIRST, SECOND, INSIDE, ELSEWHERE, UNSEEN, STARTS = (0xFFFFFFFF81000000 + n * 0x111 for n in range(1, 8))
DOUBLE, INTERIOR, WRONG, OLDER, BEGINNINGS = 17, 19, 5, 23, 29


class Kernel:
    """Calls the attached programs as a module would, without the wrong free itself."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._arguments = session.shape.arguments
        self.cache, self.other = (
            next(c.address for c in session.caches.all() if c.name == name)
            for name in ("kmem_cache", "task_struct")
        )
        self.names_cache = "cache" in self._arguments["kmem_cache_free"]

    def objects(self) -> list[int]:
        return [cache.address for cache in self._session.caches.all()]

    def alloc(self, ptr: int) -> None:
        self._run("kmem_cache_alloc", ptr=ptr, cache=self.cache, call_site=MADE)

    def free(self, ptr: int, call_site: int, cache: int = 0) -> None:
        self._run("kmem_cache_free", ptr=ptr, cache=cache or self.cache, call_site=call_site)

    def kfree(self, ptr: int, call_site: int) -> None:
        self._run("kfree", ptr=ptr, call_site=call_site)

    def _run(self, tracepoint: str, **arguments: int) -> None:
        """The program and its twin, as the kernel does."""
        places = self._arguments[tracepoint]
        values = [0] * (max(places.values()) + 1)
        for name, value in arguments.items():
            if name in places:
                values[places[name]] = value
        for program in (tracepoint, f"{tracepoint}_twin"):
            self._session.programs.run_once(program, values)


@contextmanager
def one_cpu() -> Iterator[None]:
    """This thread stays where it is, and no ordinary task interrupts it."""
    allowed, idle = os.sched_getaffinity(0), os.sched_param(0)
    os.sched_setaffinity(0, {min(allowed)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, idle)
        os.sched_setaffinity(0, allowed)


def free_wrongly(kernel: Kernel) -> None:
    objects = kernel.objects()
    double, rest = objects[:DOUBLE], objects[DOUBLE:]
    inside, wrong, older = rest[:INTERIOR], rest[INTERIOR : INTERIOR + WRONG], rest[-OLDER:]
    for ptr in (*double, *inside, *wrong):
        kernel.alloc(ptr)
    for ptr in double:
        kernel.free(ptr, FIRST)
        kernel.kfree(ptr, SECOND)
    for ptr in inside:
        kernel.kfree(ptr + 24, INSIDE)
    for ptr in wrong:
        kernel.free(ptr, ELSEWHERE, kernel.other)
    for ptr in older:  # whose allocations were not recorded
        kernel.free(ptr + 40, UNSEEN)
    for ptr in rest[-BEGINNINGS:]:
        kernel.kfree(ptr, STARTS)


def record(path: Path, options: CaptureOptions, reported: bool) -> tuple[list[str], bool]:
    """Record wrong frees; (what was said on stderr meanwhile, whether frees name their cache).

    `reported`: wait until an invalid free is reported.  Else the end of the recording stores what is left.
    """
    said: list[str] = []
    session = Session(options)
    try:
        writer = TraceWriter(path, new_manifest(session))
        watch = Watch(session, writer.manifest, said.append)
        recorder = Recorder(session, writer, lambda progress: None, watch)
        recording = threading.Thread(target=recorder.record, args=[Plan()])
        recording.start()
        wait_for(lambda: writer.manifest.recorder.pid)  # set once everything is attached
        kernel = Kernel(session)
        with one_cpu():  # a program and its twin share their CPU's receipts (docs/twins.md)
            free_wrongly(kernel)
        if reported:
            wait_for(lambda: any("invalid-free" in line for line in said))
        recorder.stop()
        recording.join()
        return said, kernel.names_cache
    finally:
        session.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """(trace, whether frees name their cache)."""
    path = tmp_path_factory.mktemp("wrong") / "wrong.slab"
    _, names_cache = record(path, CaptureOptions(stacks="none", buffer_mib=8), reported=False)
    return path, names_cache


def findings(path: Path, call_site: int) -> list[dict[str, Any]]:
    """Those whose last free happened there.  All are listed without --all: the evidence supports them."""
    every = slabtrace_json("mismatches", str(path), "-l", "0", code=FOUND)["findings"]
    return [e for e in every if (e["second_free"] or e["first_free"])["call_site"] == f"{call_site:#x}"]


def test_double_frees(recorded: tuple[Path, bool]) -> None:
    path, _ = recorded
    found = findings(path, SECOND)
    assert [f["kind"] for f in found] == ["double-free"] * DOUBLE
    assert {f["cache"] for f in found} == {"kmem_cache"}
    for finding in found:
        events = [finding[key] for key in ("alloc", "first_free", "second_free")]
        assert [e["call_site"] for e in events] == [f"{at:#x}" for at in (MADE, FIRST, SECOND)]
        assert [e["called"] for e in events] == ["kmem_cache_alloc", "kmem_cache_free", "kfree"]
        times = [e["ts_ns"] for e in events]
        assert times == sorted(times) and len(set(times)) == 3
        assert len({(e["pid"], e["comm"]) for e in events}) == 1, "this process"


def test_frees_inside_objects(recorded: tuple[Path, bool]) -> None:
    path, _ = recorded
    found = findings(path, INSIDE)
    assert [(f["kind"], f["cache"], f["offset"]) for f in found] == [
        ("invalid-free", "kmem_cache", 24)
    ] * INTERIOR
    assert {f["confidence"] for f in found} == {"exact"}
    assert all(int(f["ptr"], 16) - 24 and f["alloc"]["call_site"] == f"{MADE:#x}" for f in found)


def test_an_invalid_free_is_reported_while_recording(tmp_path: Path) -> None:
    """Of one cache alone: beyond 130,000 events a second, which others may cause, nothing is reported."""
    options = CaptureOptions(stacks="none", buffer_mib=8, cache=("kmem_cache",))
    said, _ = record(tmp_path / "t.slab", options, reported=True)
    assert any("apparent invalid-free" in line and "in kmem_cache by" in line for line in said)


def test_frees_to_another_cache(recorded: tuple[Path, bool]) -> None:
    path, names_cache = recorded
    if not names_cache:
        pytest.skip("before 6.1 the tracepoint of kmem_cache_free names no cache")
    found = findings(path, ELSEWHERE)
    assert [(f["kind"], f["cache"], f["named_cache"]) for f in found] == [
        ("wrong-cache-free", "kmem_cache", "task_struct")
    ] * WRONG


def test_nothing_else_is_called_wrong(recorded: tuple[Path, bool]) -> None:
    """What missed allocations explain is counted, but not listed."""
    path, names_cache = recorded
    document = slabtrace_json("mismatches", str(path), "-l", "0", code=FOUND)
    kinds = Counter(each["kind"] for each in document["findings"])
    wrong = {"wrong-cache-free": WRONG} if names_cache else {}
    assert kinds == {"double-free": DOUBLE, "invalid-free": INTERIOR + OLDER, **wrong}
    every = slabtrace_json("mismatches", str(path), "-l", "0", "--all", code=FOUND)["findings"]
    assert len(every) == len(document["findings"]) + document["unsupported"]["count"]


def test_nothing_else_is_called_invalid(recorded: tuple[Path, bool]) -> None:
    """Of all that this machine freed meanwhile, every address is an object's start."""
    path, _ = recorded
    every = slabtrace_json("mismatches", str(path), "-l", "0", "--all", code=FOUND)["findings"]
    sites = {e["first_free"]["call_site"] for e in every if e["kind"] == "invalid-free"}
    assert sites == {f"{INSIDE:#x}", f"{UNSEEN:#x}"}


def test_the_programs_judge_where_objects_begin(recorded: tuple[Path, bool]) -> None:
    """By the slab, while it happens: it needs no allocation to have been seen."""
    path, _ = recorded
    found = findings(path, UNSEEN)
    assert [(f["kind"], f["offset"], f["confidence"]) for f in found] == [
        ("invalid-free", 40, "exact")
    ] * OLDER
    assert {f["alloc"] for f in found} == {None}
    trace = slabtrace.open(path)
    assert trace.manifest.coverage.frees_judged
    flagged: defaultdict[int, set[int]] = defaultdict(set)  # a twin may rarely repeat an event
    for batch in trace.events():
        for row in batch.to_pylist():
            if row["flags"] & Flag.INTERIOR:
                flagged[row["call_site"]].add(row["ptr"])
    counts = {call_site: len(ptrs) for call_site, ptrs in flagged.items()}
    assert counts == {INSIDE: INTERIOR, UNSEEN: OLDER}, "of all that this machine freed"
