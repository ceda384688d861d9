# SPDX-License-Identifier: Apache-2.0
"""A full recording because a trigger fired: with stacks and the inspection, then its report and its digest.

One at a time, and at most so many in a time; what is too many is counted, and said.  The times of earlier
ones outlive the service, so a service that is started again and again records no more.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from slabtrace.series.parts import SUFFIX
from slabtrace.watching.jobs import SLABTRACE, UNPRIVILEGED, Job, Machine
from slabtrace.watching.judgement import digest_command, digest_of
from slabtrace.watching.room import TRIGGERED, bytes_of
from slabtrace.watching.settings import Settings

END_S, ANALYSIS_S = 120.0, 1800.0  # for the end of the recording; for its report, and for its digest
RECORD, REPORT, DIGEST = "recording", "report", "digest"
LONGEST_LABEL = 200


class Triggered:
    """`counts`: how many were recorded, failed, or were one too many."""

    def __init__(
        self,
        machine: Machine,
        settings: Settings,
        say: Callable[[str], None],
        earlier: Sequence[float] = (),
    ) -> None:
        self._machine, self._say = machine, say
        self.settings = settings
        self.times = list(earlier)
        self.counts = {"recorded": 0, "failed": 0, "too_many": 0}
        self._job: Job | None = None
        self._step, self._began_s, self._asked = RECORD, 0.0, False
        self._trace = Path()
        self.newest = ""

    def fire(self, why: str) -> None:
        """Record now, because of `why`, unless that were one too many."""
        why = "".join(each if each.isprintable() else "?" for each in why)  # it becomes a label
        now_s, most = self._machine.time_s(), self.settings.at_most
        self.times = [each for each in self.times if 0 <= now_s - each < most.period_s]
        if self._job is not None or len(self.times) >= most.number:
            self.counts["too_many"] += 1
            busy = "one goes on" if self._job is not None else f"{most.number} were made already"
            self._say(f"trigger: {why}; no recording, {busy}")
            return
        folder = self.settings.folder / TRIGGERED
        name = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S}{SUFFIX}"
        self._trace = folder / name
        self._say(f"trigger: {why}; recording {self._trace}")
        self.times.append(now_s)
        self._begin(RECORD, self._record(why))

    def step(self) -> Path | None:
        """Look after what runs: a recording, its report, or its digest; gives a digest that is ready."""
        job, now_s = self._job, self._machine.now_s()
        if job is None:
            return None
        code = job.poll()
        if code is not None:
            return self._next(code)
        if self._step == RECORD:
            self._bound(job, now_s - self._began_s)
        elif now_s - self._began_s > ANALYSIS_S:
            job.kill()
        return None

    @property
    def runs(self) -> str:
        """What runs; empty: nothing."""
        return "" if self._job is None else self._step

    @property
    def is_recording(self) -> bool:
        """Whether a recorder runs."""
        return self._job is not None and self._step == RECORD and self._job.poll() is None

    def end(self) -> None:
        """End a recording properly, anything else at once."""
        if self._job is not None:
            (self._job.end if self._step == RECORD else self._job.kill)()

    def kill(self) -> None:
        """End what runs at once."""
        if self._job is not None:
            self._job.kill()

    def _record(self, why: str) -> list[str]:
        settings = self.settings
        inspect = [f"--inspect={settings.inspect:g}s"] if settings.inspect else ["--no-inspect"]
        return [
            *SLABTRACE, "record", "-o", str(self._trace), f"--duration={settings.record:g}s", "--stacks=all",
            "--quiet", f"--label=trigger={why[:LONGEST_LABEL]}", *inspect,
            *settings.recorder_options(),
        ]  # fmt: skip

    def _begin(self, step: str, argv: Sequence[str]) -> None:
        self._step, self._began_s, self._asked = step, self._machine.now_s(), False
        try:
            self._trace.parent.mkdir(exist_ok=True)
            self._job = self._machine.start(argv)
        except OSError as error:
            self._failed(f"cannot be started: {error}")

    def _bound(self, job: Job, took_s: float) -> None:
        """End a recording that is too large or takes too long."""
        longest_s = self.settings.record + self.settings.inspect + END_S
        if took_s > longest_s + END_S:
            job.kill()
        elif not self._asked and (
            took_s > longest_s or bytes_of(self._trace) > self.settings.triggered_bytes
        ):
            self._asked = True
            self._say(f"{self._trace.name} is large or takes long: it is ended")
            job.end(signal.SIGINT)

    def _next(self, code: int) -> Path | None:
        if code:
            self._failed(f"ended with {code}")
        elif self._step == RECORD:
            page = str(self._trace.with_suffix(".html"))
            report = [*UNPRIVILEGED, *SLABTRACE, "report", str(self._trace), "-o", page, "--force"]
            self._begin(REPORT, report)
        elif self._step == REPORT:
            self._begin(DIGEST, digest_command(self._trace, self._trace.parent))
        else:
            self._job, self.newest = None, str(self._trace)
            self.counts["recorded"] += 1
            self._say(f"recorded {self._trace}, with its report and its digest")
            return digest_of(self._trace, self._trace.parent)
        return None

    def _failed(self, why: str) -> None:
        self._job = None
        self.counts["failed"] += 1
        self._say(f"the {self._step} of {self._trace.name} {why}")
