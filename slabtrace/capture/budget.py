# SPDX-License-Identifier: Apache-2.0
"""--budget: what the recording itself costs, measured now and then, and what to give up to keep to a share.

Cost is CPU time as a share of all CPUs': the recorder's own process, and the programs.  These are timed by
the kernel (BPF_ENABLE_STATS, 5.8) for a short while every few seconds, because timing costs as well; a
run takes CALL_NS more than the kernel's clock sees.  What is given up, in this order and for good:
stacks, then half of the addresses, and half again (sample.py).  To be called costs a program some
20 ns even for an address that is not in the sample: where a coarser sample no longer saves anything, no
further step is taken, and the trace says that the budget could not be kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from slabtrace.capture.process.privileges import Capability, keep_only
from slabtrace.capture.programs.bpf_syscall import run_time_counted
from slabtrace.capture.programs.loading import Programs
from slabtrace.errors import CaptureError
from slabtrace.trace.format.sample import COARSEST_SAMPLE

PROBE_S = 0.1
EVERY_S = 2.0
CALL_NS = 20  # of a program's run outside its own time: half of what two empty ones cost an event
# BPF_ENABLE_STATS asks for CAP_SYS_ADMIN: this thread alone keeps it.
COUNTING = frozenset({Capability.SYS_ADMIN, Capability.BPF})
_SAVING = 0.2  # of the cost, that a coarser sample must have saved to be worth another step
_ROOM = 0.9  # of the budget is aimed at, so that not every breath of the load takes another step


@dataclass(frozen=True)
class Cost:
    """Shares of all CPUs' time, 0 to 1: of the programs, and of the recorder's process."""

    programs: float
    recorder: float

    @property
    def total(self) -> float:
        """Both."""
        return self.programs + self.recorder


@dataclass(frozen=True)
class Settings:
    """What the recording does: `stacks` are taken, of one in `one_in` addresses."""

    stacks: bool
    one_in: int

    def cheaper(self, cost: float, budget: float, before: float | None) -> Settings:
        """What to do instead, where this costs so much; itself if there is nothing left to give up.

        `before`: what the step to these settings was taken for, None: there was none.
        """
        if self.stacks:
            return Settings(False, self.one_in)
        if self.one_in > 1 and before is not None and cost > (1 - _SAVING) * before:
            return self
        wanted = self.one_in
        while wanted < COARSEST_SAMPLE and cost * self.one_in / wanted > _ROOM * budget:
            wanted *= 2
        return Settings(False, wanted)


class Budget:
    """Measures in a thread of its own; the recorder asks `take` for the next step.

    `share`: of all CPUs' time.
    """

    def __init__(self, programs: Programs, share: float, settings: Settings, cpus: int) -> None:
        self._programs, self._share, self._cpus = programs, share, cpus
        self.settings = settings
        self._last: Cost | None = None  # measured with the present settings
        self._before: float | None = None  # what the last step was taken for
        self._ended = False  # nothing is left to give up
        self._step: tuple[Settings, Cost] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slabtrace-budget", daemon=True)

    def start(self) -> None:
        """Begin to measure.  Raises CaptureError where the kernel does not time programs for us."""
        try:
            with run_time_counted():
                pass
        except OSError as error:
            raise CaptureError(
                f"the kernel does not time BPF programs for --budget: {error.strerror}",
                "it takes CAP_SYS_ADMIN and Linux 5.8; leave --budget out, or record as root",
            ) from error
        self._thread.start()

    def take(self) -> tuple[Settings, Cost] | None:
        """A step to be taken, once: the settings from now on, and the cost that asked for them.

        The settings as they are: there is no cheaper one, and the budget is not kept.
        """
        step, self._step = self._step, None
        if step is not None:
            self.settings = step[0]
        return step

    def close(self) -> None:
        """Measure no more."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        keep_only(COUNTING)
        before, begun = time.process_time(), time.monotonic()
        while not self._done.wait(EVERY_S):
            programs = measured(self._programs.run_times, self._done.wait) / self._cpus
            now, spent = time.monotonic(), time.process_time()
            cost = Cost(programs, (spent - before) / (now - begun) / self._cpus)
            before, begun = spent, now
            if self._step is None:
                self._judge(cost)

    def _judge(self, cost: Cost) -> None:
        last, self._last = self._last, cost
        if self._ended or last is None or min(last.total, cost.total) <= self._share:
            return  # once is no rule: the start costs more than the recording
        lower = last if last.total < cost.total else cost
        cheaper = self.settings.cheaper(lower.total, self._share, self._before)
        self._ended = cheaper == self.settings
        self._step, self._last, self._before = (cheaper, lower), None, lower.total


def measured(
    run_times: Callable[[], tuple[int, int]], wait: Callable[[float], object], seconds: float = PROBE_S
) -> float:
    """CPUs that the programs keep busy, over the next `seconds`.

    `run_times`: (ns, runs) of all programs so far, as counted while the kernel counts.
    """
    with run_time_counted():
        ns, runs = run_times()
        begun = time.monotonic_ns()
        wait(seconds)
        took = time.monotonic_ns() - begun
        ns_after, runs_after = run_times()
    return (ns_after - ns + CALL_NS * (runs_after - runs)) / took
