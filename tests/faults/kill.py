# SPDX-License-Identifier: Apache-2.0
"""Kill the recorder at random moments: while it starts, while it records, while it ends.

The recorder is stopped (SIGSTOP) first.  What it holds in the kernel and what its manifest has counted are
then known and do not change until it is killed.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.faults.recorder import (
    load,
    mount_lines,
    process_state,
    saved,
    start,
    until,
    wrong_with_kernel,
    wrong_with_trace,
)
from tests.live.bpf_objects import held

PHASES = ("starting", "recording", "ending")
RECORDS_S = 0.7  # seconds of the recording, in which the random moment lies


def kill_often(times: int, seed: int) -> int:
    """Kill `times` recorders; print what is wrong, and a summary.  Returns how many kills went wrong."""
    random, outcomes, bad = Random(seed), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="slabtrace-kill-") as name, load(Path(name)):
        starting_s, ending_s = _durations(Path(name) / "calibration.slab")
        for number in range(times):
            phase = random.choice(PHASES)
            longest = {"starting": 1.2 * starting_s, "recording": RECORDS_S, "ending": ending_s}[phase]
            outcome, wrong = kill(Path(name) / f"{number}.slab", phase, random.uniform(0, longest))
            outcomes[outcome] += 1
            for line in wrong:
                print(f"case {number}, {outcome}: {line}", flush=True)
            bad += bool(wrong)
            shutil.rmtree(Path(name) / f"{number}.slab", ignore_errors=True)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:5}  {outcome}")
    print(f"seed {seed}: {times} kills, {bad} of them left something wrong")
    return bad


def kill(trace: Path, phase: str, after_s: float) -> tuple[str, list[str]]:
    """Kill a recorder `after_s` after the phase began: (state it was in, what is wrong afterwards)."""
    mounts = mount_lines()
    recorder = start(trace)
    if phase != "starting" and not until(lambda: _attached(trace)):
        recorder.kill()
        return phase, [f"the recorder did not start: {recorder.communicate()[1]}"]
    if phase == "ending":
        recorder.send_signal(signal.SIGINT)
    time.sleep(after_s)  # the random moment
    recorder.send_signal(signal.SIGSTOP)
    until(lambda: process_state(recorder.pid) in "TZX")
    objects, before = held(str(recorder.pid)), saved(trace)
    recorder.kill()
    recorder.communicate()
    wrong = wrong_with_trace(trace, before.totals.events if before else 0)
    wrong += wrong_with_kernel(recorder.pid, objects, mounts)
    return f"{phase}: {_state(trace, before is not None, len(objects))}", wrong


def _state(trace: Path, has_manifest: bool, objects: int) -> str:
    """How far the recorder had got."""
    if not trace.exists():
        return f"no trace yet, {'programs or maps' if objects else 'nothing'} in the kernel"
    after = saved(trace)
    if not has_manifest or after is None:
        return "a folder without a manifest"
    if after.status != "recording":
        return "ended before it was killed"
    return "attached" if after.coverage.attached else "a trace, not attached yet"


def _attached(trace: Path) -> bool:
    now = saved(trace)
    return now is not None and bool(now.coverage.attached)


def _durations(trace: Path) -> tuple[float, float]:
    """Seconds from the start until everything is attached, and from SIGINT to the end, on this machine."""
    begun = time.monotonic()
    recorder = start(trace)
    until(lambda: _attached(trace))
    attached = time.monotonic()
    time.sleep(RECORDS_S / 2)
    asked = time.monotonic()
    recorder.send_signal(signal.SIGINT)
    recorder.communicate()
    return attached - begun, time.monotonic() - asked
