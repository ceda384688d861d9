# SPDX-License-Identifier: Apache-2.0
"""CPU time and memory of a tracer's own process, read from /proc while it runs."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path

_SAMPLE_S = 1.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, without its children (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def rss_bytes(pid: int) -> int:
    """Resident memory (VmRSS) of a process, in bytes; mapped rings are included."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
    return int(match.group(1)) * 1024 if match else 0


class MemorySampler:
    """Samples a process's memory each second within the `with` block."""

    def __init__(self, pid: int) -> None:
        self.bytes: list[int] = []
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            with contextlib.suppress(OSError):
                self.bytes.append(rss_bytes(self._pid))
