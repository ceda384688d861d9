# SPDX-License-Identifier: Apache-2.0
"""The machine: its hardware, whether it is idle, and which CPU runs what."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

QUIET_SHARE = 0.05  # of all CPUs' time: busy no more than this is idle
QUIET_PATIENCE_S = 5.0  # before each of many rounds: noise affects all tracers alike
LONG_PATIENCE_S = 300.0  # before a figure that is measured once
_LOOK_S = 0.4
_TRACING = re.compile(r"bpf.link|bpf.raw|perf_event")


class Unavailable(Exception):  # noqa: N818
    """Something cannot be measured here; the message is the reason, which the table shows."""


def describe() -> str:
    """One line: CPU, number of CPUs, memory, kernel."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, {memory:.0f} GiB, "
        f"Linux {platform.release()}"
    )


def load_cpu() -> int:
    """The CPU for a load on one CPU: the last one."""
    return max(os.sched_getaffinity(0))


def tracer_cpu() -> int:
    """The CPU for the process that reads a tracer's events: not the load's, if there are two CPUs."""
    return min(os.sched_getaffinity(0))


def pinned(cpu: int, command: list[str]) -> list[str]:
    """The command line that runs `command` on one CPU only."""
    return ["taskset", "-c", str(cpu), *command]


def mount_tracefs() -> None:
    """Mount tracefs where it is not: perf and memleak read the formats of tracepoints there."""
    place = Path("/sys/kernel/tracing")
    if not (place / "events").is_dir():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(place)], check=True)


def others_tracing() -> set[int]:
    """Pids of other processes with a BPF link or a perf event: their cost would be measured too."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
            if int(process.name) != os.getpid() and any(_TRACING.search(link) for link in links):
                found.add(int(process.name))
    return found


def busy_share(seconds: float) -> float:
    """The share of all CPUs' time that is not idle, over the next `seconds`."""
    before = _cpu_ticks()
    time.sleep(seconds)
    spent = [b - a for a, b in zip(before, _cpu_ticks(), strict=True)]
    idle = spent[3] + spent[4]  # idle and iowait, see proc_stat(5)
    return 1 - idle / max(1, sum(spent))


def busy_seconds() -> float:
    """CPU time of all CPUs that was not idle, since the machine started, in seconds."""
    ticks = _cpu_ticks()
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def wait_until_quiet(patience_s: float = QUIET_PATIENCE_S) -> bool:
    """Wait until no other process traces and the CPUs are idle; False if that takes too long."""
    deadline = time.monotonic() + patience_s
    while others_tracing() or busy_share(_LOOK_S) > QUIET_SHARE:
        if time.monotonic() > deadline:
            return False
    return True


def note(text: str) -> None:
    """Print progress to stderr; stdout has only the tables."""
    print(text, file=sys.stderr, flush=True)
