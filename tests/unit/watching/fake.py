# SPDX-License-Identifier: Apache-2.0
"""A machine whose clock, counters and processes a test moves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

START_S = 1_790_000_000.0  # a time of day in 2026


@dataclass
class FakeJob:
    """A process that ends when the test says so, or when it is asked to."""

    argv: list[str]
    given: bytes
    pid: int
    cpu_s: float = 0.0
    code: int | None = None
    asked: int = 0
    asked_by: int = 0
    killed: int = 0
    at_s: float = 0.0
    on_end: Callable[[], None] = lambda: None

    def poll(self) -> int | None:
        return self.code

    def end(self, number: int = signal.SIGTERM) -> None:
        self.asked += 1
        self.asked_by = number
        self.on_end()

    def kill(self) -> None:
        self.killed += 1
        if self.code is None:
            self.code = -9


@dataclass
class FakeMachine:
    """`run`: what is done with a job as it is started, e.g. to end it."""

    seconds: float = 0.0
    boot: str = "boot-1"
    memory: float | None = 1e9
    slabs: dict[str, int] | None = field(default_factory=dict)
    jobs: list[FakeJob] = field(default_factory=list)
    run: Callable[[FakeJob], None] = lambda job: None
    said: list[str] = field(default_factory=list)

    def now_s(self) -> float:
        return self.seconds

    def time_s(self) -> float:
        return START_S + self.seconds

    def boot_id(self) -> str:
        return self.boot

    def unreclaimable(self) -> float | None:
        return self.memory

    def caches(self) -> dict[str, int] | None:
        return self.slabs

    def start(self, argv: Sequence[str], given: bytes = b"") -> FakeJob:
        job = FakeJob(list(argv), given, 1000 + len(self.jobs), at_s=self.seconds)
        self.jobs.append(job)
        self.run(job)
        return job

    def started(self, word: str) -> list[FakeJob]:
        """The jobs of this command of slabtrace's, or of any with this word."""
        return [job for job in self.jobs if word in job.argv]


def row(signature: str = "1:ab", **values: Any) -> dict[str, Any]:
    """What a digest says of a finding (known.READ)."""
    made = {
        "signature": signature, "title": "kmalloc-64: do_msgsnd < sys_msgsnd", "cache": "kmalloc-64",
        "class": "suspect", "objects": 10, "bytes": 640, "growth_per_day": 86_400,
        "growth_low_per_day": 43_200, "oldest_s": 100, "stack": "do_msgsnd+0x1", "module": "", "object": "",
        "command": "leaver", "unit": "", "container": "", "why": "because",
    }  # fmt: skip
    return {**made, **values}
