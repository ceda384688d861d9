# SPDX-License-Identifier: Apache-2.0
"""The machine as the service sees it: clocks, the kernel's counters, files' sizes, and processes it starts.

Tests put another one in its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from slabtrace.capture.kernel.slabinfo import SLABINFO
from slabtrace.capture.memory import texts

SLABTRACE = (sys.executable, "-P", "-m", "slabtrace")
UNPRIVILEGED = (sys.executable, "-P", "-m", "slabtrace.watching.launch")


class Job(Protocol):
    """A process that was started.  `cpu_s`: the CPU time that it took, once it has ended."""

    pid: int
    cpu_s: float

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def end(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end; a recorder has time to inspect after SIGINT."""

    def kill(self) -> None:
        """End it, and all that it has started in its session, at once."""


class Machine(Protocol):
    """What the service needs of the machine it runs on."""

    def now_s(self) -> float:
        """A clock that only goes on."""

    def time_s(self) -> float:
        """The time of day, seconds since 1970."""

    def boot_id(self) -> str:
        """What names this boot."""

    def unreclaimable(self) -> float | None:
        """SUnreclaim of /proc/meminfo, bytes; None where it cannot be read."""

    def caches(self) -> dict[str, int] | None:
        """The bytes of each slab cache by /proc/slabinfo; None where it cannot be read."""

    def start(self, argv: Sequence[str], given: bytes = b"") -> Job:
        """Start a program, which reads `given`.  Raises OSError."""


class Process:
    """A Job that is a process in a session of its own, so that Ctrl-C in a terminal does not reach it."""

    def __init__(self, argv: Sequence[str], given: bytes = b"") -> None:
        with tempfile.TemporaryFile() as file:  # a pipe would make the service wait for who does not read
            file.write(given)
            file.seek(0)
            self._process = subprocess.Popen(
                list(argv), stdin=file, stdout=subprocess.DEVNULL, start_new_session=True
            )
        self.pid = self._process.pid
        self.cpu_s = 0.0

    def poll(self) -> int | None:
        """See Job."""
        if self._process.returncode is None:
            with suppress(ChildProcessError):
                pid, status, use = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    self.cpu_s = use.ru_utime + use.ru_stime
        return self._process.returncode

    def end(self, number: int = signal.SIGTERM) -> None:
        """See Job."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """See Job."""
        if self.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class ThisMachine:
    """The machine that the service runs on: see Machine."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._page = os.sysconf("SC_PAGE_SIZE")

    def now_s(self) -> float:
        """See Machine."""
        return time.monotonic()

    def time_s(self) -> float:
        """See Machine."""
        return time.time()

    def boot_id(self) -> str:
        """See Machine."""
        with suppress(OSError):
            return (self._proc / "sys/kernel/random/boot_id").read_text().strip()
        return ""

    def unreclaimable(self) -> float | None:
        """See Machine."""
        with suppress(OSError):
            counters = texts.meminfo((self._proc / "meminfo").read_text(errors="replace"))
            return counters.get("meminfo.SUnreclaim")
        return None

    def caches(self) -> dict[str, int] | None:
        """See Machine."""
        with suppress(OSError):
            found = texts.slabs((self._proc / SLABINFO.name).read_text(errors="replace"), self._page)
            return {name.removeprefix("slab."): size for name, size in found.items()}
        return None

    def start(self, argv: Sequence[str], given: bytes = b"") -> Job:
        """See Machine."""
        return Process(argv, given)
