# SPDX-License-Identifier: Apache-2.0
"""The recorder stands still under load, longer than its rings last: what it drops is counted, to the event.

The count that says so is `perf stat`'s (benchmarks/trust.py): it begins and ends within the recording.
"""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

import slabtrace
from benchmarks.trust import counting, stored_between
from tests.faults.recorder import load, process_state, saved, start, until

APART = 0.01  # of all events: slab pages that end, and what happens while perf starts and stops


def stop(seconds: float) -> list[str]:
    """Stop it so long in the middle of a load on all CPUs; what is wrong."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-stop-") as name:
        trace = Path(name) / "t.slab"
        recorder = start(trace)
        until(lambda: (now := saved(trace)) is not None and now.coverage.attached)
        with counting() as counter, load(Path(name)):
            before = _goes_on(trace, 0)
            recorder.send_signal(signal.SIGSTOP)
            until(lambda: process_state(recorder.pid) == "T")
            time.sleep(seconds)  # the fault itself
            recorder.send_signal(signal.SIGCONT)
            after = _goes_on(trace, before)
        recorder.send_signal(signal.SIGINT)
        said = recorder.communicate()[1]
        seen = slabtrace.open(trace).completeness()
        core, outer = (stored_between(trace, *span) for span in (counter.core, counter.outer))
    print(f"stopped for {seconds:g} s: perf counted {counter.counted:,}; {outer:,} stored of them, ", end="")
    print(f"{seen.dropped:,} dropped: {(outer + seen.dropped) / counter.counted:.4f} of what there was")
    print(f"  {before:,} events before it, {after - before:,} more by the time it went on; {said.strip()}")
    wrong = []
    if recorder.returncode:
        wrong.append(f"ended with {recorder.returncode}: {said}")
    if "apparent" in said:
        wrong.append("what was dropped made it see wrong frees")
    if not core <= counter.counted <= outer + seen.lost:
        wrong.append("more is missing than is counted as lost")
    if core + seen.dropped > counter.counted * (1 + APART):
        wrong.append("more is counted as dropped than is missing")
    return wrong


def _goes_on(trace: Path, before: int) -> int:
    """Wait until so many events more are stored that the rings do not hold them; how many there are."""

    def stored() -> int:
        now = saved(trace)
        return now.totals.events if now is not None else 0

    until(lambda: stored() > before + 5_000_000)
    return stored()
