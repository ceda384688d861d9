# SPDX-License-Identifier: Apache-2.0
"""Runs the user's command for each new finding, given as JSON on its stdin, without ever waiting for it.

No shell reads anything: names from the traced machine stand in the JSON alone.  The command has no
privileges, is killed after its timeout, and few run at once; those beyond MOST_WAITING are counted, not run.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from slabtrace.watching.jobs import UNPRIVILEGED, Job, Machine
from slabtrace.watching.settings import Settings

SCHEMA = "slabtrace.watch-finding/1"
AT_ONCE, MOST_WAITING = 2, 64


class Commands:
    """`counts`: how many ended well (ok), failed, were timed out, or dropped."""

    def __init__(self, machine: Machine, settings: Settings, say: Callable[[str], None]) -> None:
        self._machine, self._say = machine, say
        self.settings = settings
        self._waiting: deque[bytes] = deque()
        self._running: list[tuple[Job, float, list[bool]]] = []
        self.counts = {"ok": 0, "failed": 0, "timed_out": 0, "dropped": 0}

    def run_for(self, finding: Mapping[str, Any]) -> None:
        """Run the command for a finding, soon."""
        if not self.settings.on_finding:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.counts["dropped"] += 1
            return
        self._waiting.append(f"{json.dumps({'schema': SCHEMA, **finding})}\n".encode())

    def step(self) -> None:
        """Start what waits, and look after what runs."""
        now_s = self._machine.now_s()
        self._running = [each for each in self._running if self._goes_on(*each, now_s)]
        if not self.settings.on_finding:  # not any more
            self._waiting.clear()
        while self._waiting and len(self._running) < AT_ONCE:
            given = self._waiting.popleft()
            try:
                job = self._machine.start([*UNPRIVILEGED, *self.settings.on_finding], given)
            except OSError as error:
                self._count("failed", f"cannot be started: {error}")
                continue
            self._running.append((job, now_s, []))

    @property
    def runs(self) -> bool:
        """Whether a command runs, or waits."""
        return bool(self._running or self._waiting)

    def end(self) -> None:
        """End what runs."""
        for job, *_ in self._running:
            job.kill()

    def _goes_on(self, job: Job, began_s: float, killed: list[bool], now_s: float) -> bool:
        code = job.poll()
        if code is None:
            if now_s - began_s > self.settings.timeout and not killed:
                killed.append(True)
                job.kill()
            return True
        if killed:
            self._count("timed_out", f"took longer than {self.settings.timeout:g} s")
        elif code:
            self._count("failed", f"ended with {code}")
        else:
            self.counts["ok"] += 1
        return False

    def _count(self, what: str, why: str) -> None:
        self.counts[what] += 1
        self._say(f"the command on a finding {why}")
