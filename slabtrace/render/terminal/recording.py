# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace record`: its status line, and the summary at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from slabtrace.trace.manifest import Manifest, Step
from slabtrace.units import count, percent, plural, size


class Progress(Protocol):
    """capture.storing.periodic.Progress."""

    elapsed_s: float
    events_per_s: float
    net_objects: int
    dropped: int
    fill: float
    bytes: int


def status_line(progress: Progress) -> str:
    """How far the recording has come."""
    return (
        f"{progress.elapsed_s:5.0f} s  {count(progress.events_per_s)} events/s  "
        f"outstanding {progress.net_objects:+,}  dropped {progress.dropped:,}  "
        f"buffer {progress.fill:.0%}  {size(progress.bytes)}"
    )


def budget_words(step: Step, when: str = "from here on") -> str:
    """What --budget gave up, and why."""
    cost = f"{percent(step.programs)} of all CPUs' time in the kernel, {percent(step.recorder)} in slabtrace"
    if not step.kept:
        return f"the budget is exceeded {when} ({cost}); a coarser sample would not help"
    stacks = "" if step.stacks else "no stacks"
    sample = f"one in {count(step.one_in)} addresses" if step.one_in != step.before else ""
    return f"{', '.join(filter(None, (sample, stacks)))} {when}; the recording had cost {cost}"


def summary(folder: Path, manifest: Manifest, report: Path | None) -> str:
    """What was recorded into `folder`, and what to do next.  `report`: the page, if one was written."""
    totals = manifest.totals
    seconds = ((manifest.ended_ns or manifest.started_ns) - manifest.started_ns) / 1e9
    counted = f" and {plural(totals.counted, 'counted object')}" if totals.counted else ""
    lines = [
        f"{folder}: {count(totals.events)} events{counted} in {seconds:.1f} s, "
        f"{size(totals.bytes_on_disk)}, {totals.dropped:,} dropped"
    ]
    if manifest.command is not None and manifest.command.exit_status:
        lines.append(f"the command ended with status {manifest.command.exit_status}")
    lines.append(f"report: {report}" if report is not None else f"next: slabtrace leaks {folder}")
    return "\n".join(lines)
