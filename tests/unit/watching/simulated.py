# SPDX-License-Identifier: Apache-2.0
"""A machine on which a recorder writes a real series as its clock goes on, and digests are really made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slabtrace.cli.destination import LimitType, rotation
from slabtrace.commands import main
from slabtrace.series.carry import carry
from slabtrace.series.series import Series
from slabtrace.trace.manifest import COMPLETE, Coverage, Host, Manifest
from tests.unit.series.cut import TASKS, between, caches, slabinfo
from tests.unit.synthetic import START, Event, intern
from tests.unit.watching.fake import START_S, FakeJob, FakeMachine

S = 1_000_000_000


class Recording:
    """What `slabtrace record --rotate` would write of `events` (in time order, ns since the start)."""

    def __init__(self, argv: Sequence[str], events: Sequence[Event], began_s: float) -> None:
        words = [word.partition("=")[2] for word in argv if word.startswith("--rotate=")]
        limits = tuple(LimitType().convert(word, None, None) for word in words)
        keep = next(int(word.partition("=")[2]) for word in argv if word.startswith("--keep="))
        self._batch, sites = intern(events)
        self._at_s = began_s
        manifest = Manifest(
            started_ns=START + int(began_s * S),
            realtime_minus_monotonic_ns=int(START_S * S) - START,
            host=Host(hostname="box", boot_id="boot-1"),
            options={"mode": "survivors", "threshold_s": 1.0},
            coverage=Coverage(attached=["kmalloc", "kfree"]),
        )
        wanted = rotation(limits, keep)
        assert wanted is not None
        self._series = Series(Path(argv[argv.index("-o") + 1]), manifest, wanted, carry=carry)
        self._series.rows("sites", {"site": np.arange(len(sites["kind"]), dtype=np.uint32), **sites})
        self._series.rows("caches", caches())
        tids = list(TASKS)
        self._series.rows("tasks", {"ts_ns": [0, 0], "tid": tids, "tgid": tids, "comm": list(TASKS.values())})

    def until(self, now_s: float) -> None:
        """Write what happened until `now_s`."""
        self._series.rows("slabinfo", slabinfo(START + int(now_s * S)))
        times = (START + int(each * S) for each in (self._at_s, now_s))
        self._series.events(between(self._batch, *times))
        self._series.manifest.totals.events += 1
        self._series.save_manifest()
        for each in self._series._carrying:
            each.result()
        self._at_s = now_s

    def close(self) -> None:
        """End it, as SIGTERM does."""
        self._series.manifest.ended_ns = START + int(self._at_s * S)
        self._series.close(COMPLETE)


@dataclass
class SimulatedMachine(FakeMachine):
    """`events`: what the kernel does.  `judging_cpu_s`: what a judgement takes."""

    events: Sequence[Event] = ()
    judging_cpu_s: float = 1.0
    recording: Recording | None = None
    judged_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run = self._run

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        if self.recording is not None:
            self.recording.until(self.seconds)

    def _run(self, job: FakeJob) -> None:
        if "survivors" in job.argv:
            recording = self.recording = Recording(job.argv, self.events, self.seconds)

            def end() -> None:
                recording.close()
                self.recording, job.code = None, 0

            job.on_end = end
        elif "digest" in job.argv and "triggered" not in job.argv[-1]:
            self.judged_at.append(self.seconds)
            job.code = main.run(job.argv[job.argv.index("digest") :])
            job.cpu_s = self.judging_cpu_s
        else:
            job.code = 0
