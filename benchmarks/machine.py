# SPDX-License-Identifier: Apache-2.0
"""The machine measured on: what it is, whether it is quiet, which CPU does what."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

QUIET_SHARE = 0.05  # of all CPUs' time
QUIET_PATIENCE_S = 5.0  # before each of many rounds: noise falls on all tracers alike
LONG_PATIENCE_S = 300.0  # before a figure that is taken once
_LOOK_S = 0.4
_TRACING = re.compile(r"bpf.link|bpf.raw|perf_event")


class Unavailable(Exception):  # noqa: N818
    """Something cannot be measured here; the text says why and goes into the table."""


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
    """The CPU of whatever consumes a tracer's events: another than the load's, where there is one."""
    return min(os.sched_getaffinity(0))


def pinned(cpu: int, command: list[str]) -> list[str]:
    """The command, to run on one CPU only."""
    return ["taskset", "-c", str(cpu), *command]


def mount_tracefs() -> None:
    """perf and memleak read tracepoints' formats there; nobody else mounts it on some machines."""
    place = Path("/sys/kernel/tracing")
    if not (place / "events").is_dir():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(place)], check=True)


def others_tracing() -> set[int]:
    """Other processes that hold a BPF link or a perf event: their cost would be counted too."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
            if int(process.name) != os.getpid() and any(_TRACING.search(link) for link in links):
                found.add(int(process.name))
    return found


def busy_share(seconds: float) -> float:
    """The share of all CPUs' time that was spent on anything, over the next `seconds`."""
    before = _cpu_ticks()
    time.sleep(seconds)
    spent = [b - a for a, b in zip(before, _cpu_ticks(), strict=True)]
    idle = spent[3] + spent[4]  # idle and iowait, see proc_stat(5)
    return 1 - idle / max(1, sum(spent))


def busy_seconds() -> float:
    """CPU time spent on anything since the machine started."""
    ticks = _cpu_ticks()
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def wait_until_quiet(patience_s: float = QUIET_PATIENCE_S) -> bool:
    """Wait until nobody else traces and the CPUs are all but idle; False if that never came."""
    deadline = time.monotonic() + patience_s
    while others_tracing() or busy_share(_LOOK_S) > QUIET_SHARE:
        if time.monotonic() > deadline:
            return False
    return True


def note(text: str) -> None:
    """Progress, on stderr: stdout has the tables alone."""
    print(text, file=sys.stderr, flush=True)
