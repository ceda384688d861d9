# SPDX-License-Identifier: Apache-2.0
"""--budget: measure what the recording costs, and give up detail until it costs at most a share of the CPUs.

Cost is the CPU time of the recorder's process and of the programs, as a share of all CPUs' time.  The kernel
times the programs (BPF_ENABLE_STATS, 5.8) for a tenth of the time, because timing costs too; each call takes
CALL_NS more than this clock shows.  Given up, in this order and for good: stacks, then half of the addresses,
and half again (trace/format/sample.py); all at once where the cost is far above.  To call a program costs
about 20 ns even for an address that is not in the sample.  When a coarser sample no longer saves enough, no
further step is taken, and the trace records that the budget was not kept.
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

PROBE_S, EVERY_S = 0.05, 0.45  # two measurements in a row lead to a step: within a second
SETTLED_S = 1.5  # what runs is read from /proc meanwhile, which is not what the recording goes on to cost
CALL_NS = 20  # for a call, outside the program's own time: half of what two empty programs cost per event
# BPF_ENABLE_STATS needs CAP_SYS_ADMIN; only this thread keeps it.
COUNTING = frozenset({Capability.SYS_ADMIN, Capability.BPF})
_FAR_ABOVE = 2.0  # times the budget: to give up stacks will not do, which are half of the cost at most
_SAVING = 0.2  # the share of the cost that the last step must have saved, or no further one is taken
_ROOM = 0.9  # a step aims at this part of the budget, so that a small rise of the load takes no other


@dataclass(frozen=True)
class Cost:
    """Shares of all CPUs' time, 0 to 1: the programs, and the recorder's process."""

    programs: float
    recorder: float

    @property
    def total(self) -> float:
        """The sum of both."""
        return self.programs + self.recorder


@dataclass(frozen=True)
class Settings:
    """Whether `stacks` are recorded, and that one in `one_in` addresses is."""

    stacks: bool
    one_in: int

    def cheaper(self, cost: float, budget: float, before: float | None) -> Settings:
        """The settings to use where these cost more than `budget` (shares); these if none are cheaper.

        `before`: the cost that led to these settings; None: they are the first.
        """
        if self.stacks and cost <= _FAR_ABOVE * budget:
            return Settings(False, self.one_in)
        if not self.stacks and self.one_in > 1 and before is not None and cost > (1 - _SAVING) * before:
            return self
        wanted = self.one_in
        while wanted < COARSEST_SAMPLE and cost * self.one_in / wanted > _ROOM * budget:
            wanted *= 2
        return Settings(False, wanted)


class Budget:
    """Measures the cost in a thread of its own.  The recorder calls `take` for the next step.

    `share`: the budget, as a share of all CPUs' time.
    """

    def __init__(self, programs: Programs, share: float, settings: Settings, cpus: int) -> None:
        self._programs, self._share, self._cpus = programs, share, cpus
        self.settings = settings
        self._last: Cost | None = None  # measured with the present settings
        self._before: float | None = None  # the cost that led to the last step
        self._ended = False  # nothing is left to give up
        self._step: tuple[Settings, Cost] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slabtrace-budget", daemon=True)

    def start(self) -> None:
        """Begin to measure.  Raises CaptureError where the kernel does not time programs."""
        try:
            with run_time_counted():
                pass
        except OSError as error:
            raise CaptureError(
                f"--budget: the kernel refuses to time BPF programs (BPF_ENABLE_STATS): {error.strerror}",
                "it needs CAP_SYS_ADMIN and Linux 5.8 or later; record as root, or without --budget",
            ) from error
        self._thread.start()

    def take(self) -> tuple[Settings, Cost] | None:
        """The step to take, once, or None: the settings from now on, and the cost that led to them.

        If they are the present settings, none are cheaper and the budget is not kept.
        """
        step, self._step = self._step, None
        if step is not None:
            self.settings = step[0]
        return step

    def close(self) -> None:
        """Stop measuring."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        keep_only(COUNTING)
        self._done.wait(SETTLED_S)
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
            return  # one measurement is not enough: the start costs more than the recording
        lower = last if last.total < cost.total else cost
        cheaper = self.settings.cheaper(lower.total, self._share, self._before)
        self._ended = cheaper == self.settings
        self._step, self._last, self._before = (cheaper, lower), None, lower.total


def measured(
    run_times: Callable[[], tuple[int, int]], wait: Callable[[float], object], seconds: float = PROBE_S
) -> float:
    """How many CPUs the programs keep busy, over the next `seconds`.

    `run_times`: returns (ns, runs) of all programs so far.  Raises OSError where the kernel does not time
    them.
    """
    with run_time_counted():
        ns, runs = run_times()
        begun = time.monotonic_ns()
        wait(seconds)
        took = time.monotonic_ns() - begun
        ns_after, runs_after = run_times()
    return (ns_after - ns + CALL_NS * (runs_after - runs)) / took
