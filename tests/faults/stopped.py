# SPDX-License-Identifier: Apache-2.0
"""Stop the recorder under load until its rings are full: every dropped event must be counted.

`perf stat` counts the events independently; it begins and ends within the recording (benchmarks/trust.py).
"""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

import slabtrace
from benchmarks.trust import counting, stored_between
from tests.faults.recorder import load, process_state, saved, start, until

APART = 0.01  # share of all events: ended slab pages, and events while perf starts and stops


def stop(seconds: float) -> list[str]:
    """Stop a recorder for `seconds` during a load on all CPUs; returns what is wrong."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-stop-") as name:
        trace = Path(name) / "t.slab"
        recorder = start(trace)
        until(lambda: (now := saved(trace)) is not None and now.coverage.attached)
        with counting() as counter, load(Path(name)):
            before = _wait_for_more(trace, 0)
            recorder.send_signal(signal.SIGSTOP)
            until(lambda: process_state(recorder.pid) == "T")
            time.sleep(seconds)  # the fault itself
            recorder.send_signal(signal.SIGCONT)
            after = _wait_for_more(trace, before)
        recorder.send_signal(signal.SIGINT)
        printed = recorder.communicate()[1]
        seen = slabtrace.open(trace).completeness()
        core, outer = (stored_between(trace, *span) for span in (counter.core, counter.outer))
    print(f"stopped for {seconds:g} s: perf counted {counter.counted:,}; {outer:,} stored, ", end="")
    print(f"{seen.dropped:,} dropped: together {(outer + seen.dropped) / counter.counted:.4f} of the count")
    print(f"  {before:,} events before the stop, {after - before:,} more after it; {printed.strip()}")
    wrong = []
    if recorder.returncode:
        wrong.append(f"exit code {recorder.returncode}: {printed}")
    if "apparent" in printed:
        wrong.append("wrong frees were reported because events were dropped")
    if not core <= counter.counted <= outer + seen.lost:
        wrong.append("more events are missing than are counted as lost")
    if core + seen.dropped > counter.counted * (1 + APART):
        wrong.append("more events are counted as dropped than are missing")
    return wrong


def _wait_for_more(trace: Path, before: int) -> int:
    """Wait until more events than the rings can hold are stored; returns how many are stored."""

    def stored() -> int:
        now = saved(trace)
        return now.totals.events if now is not None else 0

    until(lambda: stored() > before + 5_000_000)
    return stored()
