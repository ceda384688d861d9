# SPDX-License-Identifier: Apache-2.0
"""The recorder: drains the rings into the storing thread, and writes the once-a-second records.

One loop, no callbacks.  It ends after the duration, after the traced command (and a grace period), on a
request to stop, or when writing fails.  In each case everything that the programs committed is drained
and stored first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from slabtrace.capture.budget import Cost, Settings
from slabtrace.capture.kernel.module_watch import PAUSE_S, ModuleWatch
from slabtrace.capture.kernel.modules import ModuleRow
from slabtrace.capture.kernel.modules import columns as module_columns
from slabtrace.capture.marks import Mark, MarkListener
from slabtrace.capture.memory.watch import SAMPLE_S, MemoryWatch
from slabtrace.capture.memory.watch import Rows as MemoryRows
from slabtrace.capture.plan import Plan
from slabtrace.capture.process.census import processes_since
from slabtrace.capture.process.command import TracedCommand
from slabtrace.capture.process.priority import raise_priority
from slabtrace.capture.process.privileges import reduce
from slabtrace.capture.session import Session
from slabtrace.capture.storing.charge_check import check_charges
from slabtrace.capture.storing.inspection import Choose, inspect
from slabtrace.capture.storing.periodic import PERIOD_NS, PeriodicRecords, Progress
from slabtrace.capture.storing.pin_check import check_pins
from slabtrace.capture.storing.running import store_running
from slabtrace.capture.storing.slab_check import AGAIN_S, LONGEST_S, SlabRow, check_slabs
from slabtrace.capture.storing.storing import Observer, Storing
from slabtrace.capture.stream.intake import CAPACITY, Intake
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.rings import Taker
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.manifest import COMPLETE, FAILED, Command, Step
from slabtrace.trace.writing.sink import Sink

T = TypeVar("T")

_AGAIN_S = 0.3  # after so long a request to end is another one
SCAN_S = 5.0  # to wait for the reading of /proc: a file there blocks as long as its process hangs
FLUSH_NS = 500_000_000  # a batch is stored after this long at the latest
# Poll so often that a lane fills by this part between two polls, but within these bounds; the longest pause
# is for rings of _LARGE slots, and shorter for smaller ones: at the highest rate seen, a quarter fills in it.
# A poll that finds hardly anything only looks how full they are: to drain them costs some 50 times as much.
_FILL_TARGET, _DRAIN_FILL, _DRAIN_NS = 0.05, 0.01, 250_000_000
_POLL_S, _LARGE = (0.001, 0.08), 1 << 19
# In survivors mode hardly any event passes through the rings, and a recording takes days.  After each pause
# the caches are cold, and a poll costs ten times as much as one that follows another: so poll rarely.
_SURVIVORS_POLL_S, _SURVIVORS_DRAIN_NS = 0.2, 500_000_000
_SURVIVORS_FLUSH_NS, _SURVIVORS_SAMPLE_NS, _SURVIVORS_MODULES_S = 2_000_000_000, 10_000_000_000, 0.5


class Recorder:
    """Records a session into a writer, once."""

    def __init__(
        self,
        session: Session,
        writer: Sink,
        report: Callable[[Progress], None],
        observer: Observer | None = None,
    ) -> None:
        self._session = session
        self._writer = writer
        self._report = report
        self._intake = Intake(SiteTable(), session.options.pages, session.rings.places.count)
        self._store = Storing(session, writer, observer)
        self._periodic = PeriodicRecords(session, writer, self._store)
        pause_s = _SURVIVORS_MODULES_S if session.survivors else PAUSE_S
        self._modules = ModuleWatch(session.kallsyms, pause_s, self._store_modules)
        self._memory: MemoryWatch | None = None
        self._budget = session.budget
        self._stacks_given_up = session.options.stacks == "none"
        self.marks = MarkListener()
        self._failure: BaseException | None = None
        self._stop = False
        self.hurries = False  # what may be left out at the end, is
        self._asked_s = 0.0
        self._scan: threading.Thread | None = None
        self._survivors = session.survivors
        self._taker: Taker = self._intake if self._survivors is None else self._survivors.into(self._intake)
        longest_s = max(_POLL_S[1] * session.rings.geometry.task_slots / _LARGE, 5 * _POLL_S[0])
        self._longest_pause = _SURVIVORS_POLL_S if session.survivors else min(longest_s, _POLL_S[1])
        self._sample_ns = _SURVIVORS_SAMPLE_NS if session.survivors else PERIOD_NS
        self._flush_ns = _SURVIVORS_FLUSH_NS if session.survivors else FLUSH_NS
        self._drain_ns = _SURVIVORS_DRAIN_NS if session.survivors else _DRAIN_NS
        self._next_periodic = self._next_sample = self._next_flush = self._next_drain = 0
        self._pause = _POLL_S[0]
        self._max_fill = 0.0
        self._lost = 0

    def stop(self, at_once: bool = False) -> None:
        """Ask the loop to end, again or `at_once`: without the inspection.  For signal handlers, too.

        timeout(1) and shells send a signal to a process and to its group: two at once are one.
        """
        now = time.monotonic()
        self.hurries |= at_once or (self._stop and now - self._asked_s > _AGAIN_S)
        self._stop, self._asked_s = True, now

    def record(self, plan: Plan) -> int | None:
        """Attach, record, detach, store.  Returns the command's exit status, None without one.

        The calling thread is left with the privileges that recording takes (privileges.py).
        Raises CaptureError where attaching fails and WriteError where the trace cannot grow; the
        trace is closed, and says so, in every case.
        """
        exit_status = None
        try:
            self._begin(plan)
            exit_status = self._run(plan)
            self._stop, self._writer.manifest.asked_until_ns = True, time.monotonic_ns()
            if plan.settle:
                self._meanwhile(plan.settle)
            if self._memory is not None:
                self._meanwhile(self._memory.close)
            if plan.slabs_asked:
                self._check_slabs()
            if plan.choose is not None:
                self._inspect(plan.choose)
                if plan.slabs_asked and not self.hurries:  # of what came meanwhile, nothing is known yet
                    self._read_slabs(AGAIN_S)
            manifest = self._writer.manifest
            of_events = self._session.pids.of_events
            manifest.processes = processes_since(manifest.started_ns, of_events=of_events)
        except BaseException as error:
            self._failure = error
        self._end()
        if self._failure is not None:
            raise self._failure
        return exit_status

    def _begin(self, plan: Plan) -> None:
        self._session.start()
        manifest = self._writer.manifest
        self._periodic.start(time.monotonic_ns())
        manifest.started_ns = self._next_periodic = self._next_flush = time.monotonic_ns()
        if self._survivors is not None:
            self._survivors.start(manifest.started_ns)
        manifest.coverage = self._session.coverage()
        if self._budget is not None:
            self._budget.start()
        manifest.recorder.pid = self._session.pids.of_events(os.getpid()) or 0
        self._store.span_ns = (manifest.started_ns, None)
        self._writer.save_manifest()
        names = list(self._session.pids.names(manifest.started_ns))
        for name in names:
            self._intake.knows(name.tid, name.tgid)
        self._intake.task_names += names
        scan = (self._store, manifest.started_ns, self._session.pids.of_events)
        self._scan = threading.Thread(target=store_running, args=scan, daemon=True)
        self._scan.start()  # with the privileges that this thread still has
        self._store.caches(self._session.caches.all())
        if plan.memory_s is not None:
            sample_s = SAMPLE_S if self._survivors is None else self._sample_ns / 1e9
            self._memory = MemoryWatch(self._store_memory, sample_s, plan.memory_s)

    def _run(self, plan: Plan) -> int | None:
        deadline = time.monotonic() + (float("inf") if plan.duration_s is None else plan.duration_s)
        command = TracedCommand(list(plan.argv)) if plan.argv else None
        raise_priority()  # after the command was started, which must not inherit it
        reduce()  # the privileges for attaching are not needed again
        if command is None:
            self._record_until(deadline)
            return None
        entry = self._writer.manifest.command = Command(
            argv=command.argv, pid=self._session.pids.of_events(command.pid) or 0
        )
        try:
            self._record_until(deadline, running=lambda: command.poll() is None)
            entry.ended_ns = None if command.poll() is None else time.monotonic_ns()
            self._record_until(min(deadline, time.monotonic() + plan.grace_s))
        finally:
            entry.exit_status = command.terminate()
        return entry.exit_status

    def _record_until(self, deadline: float, running: Callable[[], bool] = lambda: True) -> None:
        while not self._stop and time.monotonic() < deadline and running():
            self._poll()

    def _meanwhile(self, work: Callable[[], T]) -> T:
        """Do `work` in another thread, and go on recording until it is done."""
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            while not working.done():
                self._poll()
        return working.result()

    def _meanwhile_stored(self) -> None:
        """Go on recording until all that was handed over is stored.  A poll raises what failed there."""
        stored = threading.Event()
        self._store.call(stored.set)
        while not stored.is_set():
            self._poll()

    def _check_slabs(self) -> None:
        """While still recording: once all events so far are stored, check the objects that were allocated."""
        rows = self._read_slabs(LONGEST_S)
        self._store.rows("pins", self._meanwhile(lambda: check_pins(self._session, rows))._asdict())
        charges = self._meanwhile(lambda: check_charges(self._session, rows))
        self._store.rows("cgroups", charges.cgroups)
        self._store.rows("charged", charges.rows._asdict())

    def _read_slabs(self, longest_s: float) -> list[SlabRow]:
        self._drain()
        self._hand_over(self._session.rings.watermark())
        live = np.empty(0, np.uint64) if self._survivors is None else self._survivors.live_addresses
        self._store.call(lambda: self._store.touch(live))
        self._meanwhile_stored()
        rows = self._meanwhile(lambda: check_slabs(self._session, self._store.touched.addresses(), longest_s))
        self._store.rows("slabs", {name: [getattr(row, name) for row in rows] for name in SlabRow._fields})
        return rows

    def _inspect(self, choose: Choose) -> None:
        """While still recording: once all so far is stored, inspect the objects that `choose` names."""
        self._drain()
        self._hand_over(self._session.rings.watermark())
        self._store.call(self._periodic.totals)
        self._meanwhile_stored()
        found = self._meanwhile(lambda: inspect(self._session, choose, lambda: self.hurries))
        self._store.rows("objects", found.columns)
        self._writer.manifest.inspection = found.account

    def _poll(self) -> None:
        """Drain and hand over what is due, write the records that are due, and pause."""
        self._max_fill = max(self._max_fill, fill := self._session.rings.fill())
        now, emptied = time.monotonic_ns(), True
        if now >= self._next_drain or fill > _DRAIN_FILL:
            self._store_marks()
            emptied = self._drain()
            self._next_drain = now + self._drain_ns
        if self._budget is not None and (step := self._budget.take()) is not None:
            self._go_on_cheaper(*step)
        if now >= self._next_periodic:
            self._write_periodic(now)
        if emptied:
            self._adapt(fill)
            time.sleep(self._pause)

    def _store_marks(self) -> None:
        marks = self.marks.take()
        if marks:
            columns = {name: [getattr(mark, name) for mark in marks] for name in Mark._fields}
            self._store.rows("marks", columns)

    def _store_modules(self, rows: list[ModuleRow]) -> None:
        self._store.rows("modules", module_columns(rows))
        self._store.look_again()

    def _store_memory(self, rows: MemoryRows, unread: dict[str, str]) -> None:
        self._store.rows("memory", rows)
        coverage = self._writer.manifest.coverage
        coverage.memory_unread = [f"{name}: {reason}" for name, reason in unread.items()]

    def _adapt(self, fill: float) -> None:
        """Make the pause longer while the rings are emptier than the target, shorter when they are fuller."""
        wanted = self._pause * (_FILL_TARGET / fill if fill else 2)
        self._pause = min(max(wanted, _POLL_S[0]), self._pause * 1.5, self._longest_pause)

    def _drain(self) -> bool:
        """Take what is committed.  Returns whether the rings were emptied."""
        self._sweep()
        watermark = self._session.rings.watermark()
        left_ns = self._session.rings.drain(self._intake.room, self._taker)
        if left_ns is not None:
            watermark = min(watermark, left_ns)
        elif self._survivors is not None:
            self._survivors.emptied()
        now = time.monotonic_ns()
        if self._intake.cache_ends:  # so far, what was only counted is of the caches that ended
            self._store_counts(now)
        if self._intake.room < CAPACITY // 8 or left_ns is not None or now >= self._next_flush:
            self._hand_over(watermark)
            self._next_flush = now + self._flush_ns
        return left_ns is None

    def _sweep(self) -> None:
        """In survivors mode, take the objects that have grown old."""
        now = time.monotonic_ns()
        if self._survivors is not None and self._survivors.due(now):
            self._take_swept(self._survivors.sweep(now))

    def _take_swept(self, swept: Iterable[Rows]) -> None:
        for rows in swept:
            while len(rows):
                room = self._intake.room
                self._intake.accept(rows[:room], None)
                rows = rows[room:]
                if not self._intake.room:
                    self._hand_over(0)

    def _store_counts(self, now_ns: int) -> None:
        """Store what was only counted, after its sites."""
        if self._survivors is not None:
            columns = self._survivors.counts(now_ns, self._intake.sites)
            self._hand_over(0)
            self._store.counted(columns)

    def _hand_over(self, watermark_ns: int | None) -> None:
        self._store.check()
        if (lost := self._session.rings.lost) != self._lost:
            self._lost = lost
            self._store.lost(time.monotonic_ns())
        intake = self._intake
        if self._survivors is not None and watermark_ns is not None:
            watermark_ns = min(watermark_ns, self._survivors.known_until_ns)
        self._store.batch(intake.take(), watermark_ns, intake.sites.take_new(), intake.take_others())

    def _write_periodic(self, now_ns: int) -> None:
        """About once a second: losses, slabinfo, manifest (in survivors mode less often), status line."""
        self._next_periodic = now_ns + PERIOD_NS
        if now_ns >= self._next_sample:
            self._next_sample = now_ns + self._sample_ns - PERIOD_NS // 2
            self._periodic.losses(now_ns)
            self._periodic.slabinfo(now_ns)
            self._store_counts(now_ns)
            self._store.call(self._periodic.totals)
        fill, self._max_fill = self._max_fill, 0.0
        self._report(self._periodic.progress(now_ns, fill))

    def _go_on_cheaper(self, settings: Settings, cost: Cost) -> None:
        """Change to cheaper settings.  The manifest is saved first: a reader can thin events of a finer
        sample than the manifest has, but events of a coarser one would seem to be missing."""
        manifest, rings = self._writer.manifest, self._session.rings
        now_ns = time.monotonic_ns()
        self._store_counts(now_ns)  # those so far are of the finer sample
        before = manifest.sampled_one_in
        kept = settings.one_in > before or not self._stacks_given_up
        step = Step(now_ns, cost.programs, cost.recorder, settings.stacks, settings.one_in, before, kept)
        self._stacks_given_up = not settings.stacks
        self._report(replace(self._periodic.progress(now_ns, self._max_fill), steps=(step,)))

        def save() -> None:
            manifest.steps.append(step)
            manifest.options["sample"] = settings.one_in if settings.one_in > 1 else None
            self._writer.save_manifest()

        self._store.call(save)
        self._meanwhile_stored()
        if not settings.stacks:
            rings.take_no_stacks()
        rings.set_sample(settings.one_in)

    def _end(self) -> None:
        """Detach, store what is left, close.  Every step is tried, whatever failed before."""
        if self._failure is None:
            self._attempt(lambda: self._periodic.slabinfo(time.monotonic_ns(), everything=True))
        manifest = self._writer.manifest
        self._attempt(self._store_marks)
        self._modules.close()
        if self._memory is not None:
            self._memory.close()
        if self._budget is not None:
            self._budget.close()
        self.marks.close()
        manifest.ended_ns = time.monotonic_ns()
        self._store.span_ns = (manifest.started_ns, manifest.ended_ns)
        # before detaching: twins go first, and what programs miss without them is outside the recording
        self._attempt(lambda: self._periodic.losses(time.monotonic_ns()))
        self._attempt(self._session.stop)
        self._attempt(self._drain_rest)
        self._attempt(self._finish_storing)
        status = COMPLETE if self._failure is None else FAILED + _first_line(self._failure)
        self._attempt(lambda: self._writer.close(status))

    def _drain_rest(self) -> None:
        while not self._drain():
            pass
        if self._survivors is not None:
            self._take_swept(self._survivors.rest())
            self._store_counts(time.monotonic_ns())
        self._hand_over(None)
        self._periodic.close(time.monotonic_ns())

    def _finish_storing(self) -> None:
        if self._scan is not None:
            self._scan.join(SCAN_S)
        self._store.finish()

    def _attempt(self, step: Callable[[], object]) -> None:
        """Do a step of the ending.  The first failure is the one that is reported."""
        try:
            step()
        except Exception as error:
            self._failure = self._failure or error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
