# SPDX-License-Identifier: Apache-2.0
"""The last state of a guest that missed a deadline, in one screen: what a person needs to find out why.

The guest's init lists its processes when the host asks (init.sh); the rest lies on the share.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from slabtrace.errors import SlabtraceError
from slabtrace.trace import manifest
from tests.kernels.waits import STDERR, TRACE

REQUEST, PROCESSES = "state-wanted", "state"  # on the share
_PATIENCE_S = 20.0
_WIDTH = 200  # of a line
_CONSOLE, _STDERR, _MOST = 8, 3, 16  # lines


def ask(folder: Path, patience_s: float = _PATIENCE_S) -> None:
    """Have the guest list its processes, if it still can."""
    (folder / REQUEST).touch()
    deadline = time.monotonic() + patience_s
    while not (folder / PROCESSES).exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def screen(folder: Path) -> str:
    """The guest's steps, its manifest, its stderr, its console's last lines and its processes."""
    blocks = {
        "steps done": _steps(folder),
        "manifest": _manifest(folder),
        "stderr of record": _lines(folder / STDERR)[-_STDERR:],
        "console": _lines(folder / "console.log")[-_CONSOLE:],
        "processes": _processes(folder),
    }
    lines = [
        f"{name}: {line}" if number == 0 else f"    {line}"
        for name, block in blocks.items()
        for number, line in enumerate(block or ["none"])
    ]
    return "\n".join(f"    {line[:_WIDTH]}" for line in [*lines, f"all of it: {folder}"])


def _lines(file: Path) -> list[str]:
    text = file.read_text(errors="replace") if file.exists() else ""
    return [line for line in text.splitlines() if line.strip()]


def _steps(folder: Path) -> list[str]:
    steps = [json.loads(line) for line in _lines(folder / "steps.jsonl")]
    done = [f"{step['name']} (status {step['status']}, {step['seconds']} s)" for step in steps]
    return [", ".join(done)] if done else []


def _manifest(folder: Path) -> list[str]:
    try:
        found = manifest.load(folder / TRACE)
        saved = time.time() - (folder / TRACE / "manifest.json").stat().st_mtime
    except (SlabtraceError, OSError) as error:
        return str(error).splitlines()[:1]
    totals = found.totals
    counts = f"{totals.events:,} events, {totals.modules} modules, {totals.dropped:,} dropped"
    return [f"{found.status}, {counts}, saved {saved:.0f} s ago"]


def _processes(folder: Path) -> list[str]:
    if not (folder / REQUEST).exists():  # it ended by itself
        return []
    if not (folder / PROCESSES).exists():
        return [f"the guest did not list them within {_PATIENCE_S:.0f} s"]
    found = _lines(folder / PROCESSES)
    more = len(found) - _MOST
    return found if more <= 0 else [*found[:_MOST], f"and {more} more"]
