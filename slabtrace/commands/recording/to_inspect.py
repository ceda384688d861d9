# SPDX-License-Identifier: Apache-2.0
"""Which objects `record --inspect` looks at: those of the first findings, chosen by a process of its own.

`python -m slabtrace.commands.recording.to_inspect NAME.slab` prints their addresses as a JSON list.  It reads
the trace while that is still written, so that the recorder itself never waits for an analysis.

events so far       what is read (on one CPU: 25 million events a second, pairs of 2 million)
3,000,000 or less   everything
more                as if one in N addresses had been recorded, so that about as many events are paired
more than 60 M      of that only the last part, with about 60 M events
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slabtrace.api import Trace

MOST_FINDINGS = 20
MOST_OBJECTS = 1000
LONGEST_S, WAIT_S = 10.0, 0.1
LONGEST_REASON = 200
MOST_EVENTS = 3_000_000  # that are paired
MOST_READ = 60_000_000


def chooser(
    folder: Callable[[], Path], inspect_s: float, hurries: Callable[[], bool] = lambda: False
) -> Callable[[], Sequence[int]]:
    """A function that chooses the objects of the trace in `folder()`, the most important first.

    It takes at most LONGEST_S, or five times `inspect_s`, which is how long the inspection may take; once
    `hurries`, no longer at all.  It raises ValueError or OSError with the reason where that is not possible.
    """
    longest_s = max(LONGEST_S, 5 * inspect_s)

    def choose() -> list[int]:
        argv = [sys.executable, "-P", "-m", __spec__.name, str(folder())]  # -P: not what lies here
        return [int(each) for each in json.loads(_said(argv, longest_s, hurries))]

    return choose


def _said(argv: Sequence[str], longest_s: float, hurries: Callable[[], bool]) -> str:
    """What a program prints; ValueError if it fails, or is ended because it takes too long."""
    until = time.monotonic() + longest_s
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while time.monotonic() < until and not hurries():
            with suppress(subprocess.TimeoutExpired):
                answer, error = process.communicate(timeout=WAIT_S)
                break
        else:
            process.kill()
            raise ValueError(f"the findings took longer than {longest_s:g} s")
    if process.returncode:
        reason = (error.strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise ValueError(f"the findings could not be read: {reason[-LONGEST_REASON:]}")
    return answer


def chosen(path: str, most: int = MOST_OBJECTS) -> list[int]:
    """Addresses of owners of the first findings, some of each, at most `most`.  Raises TraceError."""
    trace = bounded(path)
    findings = trace.findings()
    ranks = findings[~findings["own"].astype(bool)]["rank"].tolist()[:MOST_FINDINGS]
    oldest = trace.oldest(most, ranks) if ranks else None
    if oldest is None or oldest.empty:
        return []
    by_rank: dict[int, list[int]] = {rank: [] for rank in ranks}
    for rank, ptr in zip(oldest["finding"].tolist(), oldest["ptr"].tolist(), strict=True):
        by_rank[rank].append(ptr)
    numbers = shares([len(each) for each in by_rank.values()], most)
    return [ptr for each, number in zip(by_rank.values(), numbers, strict=True) for ptr in each[:number]]


def shares(numbers: Sequence[int], most: int) -> list[int]:
    """How many of each to take, `most` in all: as many of each, and what some lack goes to the first.

    shares([2, 500, 500], 300)    [2, 198, 100]
    """
    equal = most // max(len(numbers), 1)
    taken = [min(each, equal) for each in numbers]
    for at, each in enumerate(numbers):
        taken[at] += min(each - taken[at], most - sum(taken))
    return taken


def bounded(path: str, most: int = MOST_EVENTS, most_read: int = MOST_READ) -> Trace:
    """The trace, or what of it can be read and paired soon: see above."""
    import slabtrace
    from slabtrace.trace.manifest import Step

    trace = slabtrace.open(path)
    events = trace.manifest.totals.events
    if events > most_read:
        trace = trace.window(trace.length_ns - trace.length_ns * most_read // events)
    manifest, before, one_in = trace.manifest, trace.manifest.sampled_one_in, 1
    while min(events, most_read) > most * one_in:
        one_in *= 2
    if one_in > 1:
        step = Step(manifest.started_ns, one_in=before * one_in, before=before)
        manifest.steps.append(step)
        manifest.options["sample"] = before * one_in
    return trace


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, 0)  # not the recorder's, which it has inherited
    sys.stdout.write(json.dumps(chosen(sys.argv[1])))
