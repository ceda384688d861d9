# SPDX-License-Identifier: Apache-2.0
"""Processes that end, live on, or are not waited for."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.verdict.loads import libc
from tests.verdict.loads.load import Load


class Zombies(Load):
    """R15: children that end and are not waited for."""

    rate = 4.0

    def setup(self) -> None:
        self.children: list[int] = []
        self.undo.callback(lambda: [os.waitpid(each, 0) for each in self.children])

    def pids(self) -> list[int]:
        return self.children

    def step(self, since: float) -> int:
        self.children.append(libc.forked(lambda: None))
        return 1


class Sleepers(Load):
    """L7: every five seconds 20 programs start, and live on."""

    rate = 0.2
    at_once = 20

    def setup(self) -> None:
        self.children: list[int] = []
        self.ended: list[int] = []
        self.undo.callback(self._end_all)

    def pids(self) -> list[int]:
        return self.children + self.ended

    def step(self, since: float) -> int:
        for _ in range(self.at_once):
            self._start()
        return self.at_once

    def _start(self) -> None:
        self.children.append(os.posix_spawn("/bin/sleep", ["/bin/sleep", "1000"], {}))

    def _end(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def _end_all(self) -> None:
        for each in self.children:
            self._end(each)


class LiveOn(Sleepers):
    """Two programs a second start, and live on."""

    rate = 2.0
    at_once = 1


class Workers(Sleepers):
    """30 workers: every half second the oldest is ended and one is started."""

    rate = 2.0

    def setup(self) -> None:
        super().setup()
        for _ in range(30):
            self._start()

    def step(self, since: float) -> int:
        self.ended.append(self.children.pop(0))
        self._end(self.ended[-1])
        self._start()
        return 0


class Cron(Sleepers):
    """Every five seconds ten programs start; those of last time are ended before."""

    def step(self, since: float) -> int:
        while self.children:
            self.ended.append(self.children.pop())
            self._end(self.ended[-1])
        for _ in range(10):
            self._start()
        return 0


class Forks(Load):
    """L11: programs start and end all the time."""

    rate = 40.0

    def step(self, since: float) -> int:
        pid = os.posix_spawn("/bin/true", ["/bin/true"], {})
        self.short_lived.append(pid)
        os.waitpid(pid, 0)
        return 0


class DaemonStart(Load):
    """L8: a daemon starts while the recording runs, opens what it needs, and waits."""

    rate = 20.0

    def setup(self) -> None:
        self.many_files()
        self.opened = 0

    def step(self, since: float) -> int:
        if self.opened < 60:  # its first three seconds
            self.opened += 1
            for each in (os.eventfd(0), *os.pipe(), os.open("/dev/null", os.O_RDONLY)):
                self.later(os.close, each)
        return 0
