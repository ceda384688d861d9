# SPDX-License-Identifier: Apache-2.0
"""Keeps a recorder going: `slabtrace record --mode survivors --rotate`, started again if it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from slabtrace.errors import CANNOT_TRACE, USAGE, TraceError
from slabtrace.series.parts import parts_of
from slabtrace.trace.manifest import Manifest, load
from slabtrace.watching.jobs import SLABTRACE, Job, Machine
from slabtrace.watching.settings import Settings

PREFIX = "series-"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0
STEADY_S = 600.0  # a recorder that ran so long had no trouble starting
LOOK_S = 5.0
END_S = 120.0  # for the checks at its end


class Recorder:
    """The recorder of a service.  `say`: takes a line for the log."""

    def __init__(self, machine: Machine, settings: Settings, say: Callable[[str], None]) -> None:
        self._machine, self._settings, self._say = machine, settings, say
        self._job: Job | None = None
        self._began_s = self._next_s = machine.now_s()
        self._pause_s = FIRST_PAUSE_S
        self._look_s = 0.0
        self._recorded = False
        self.name: Path | None = None
        self.manifests: list[Manifest] = []  # of the two newest parts that record, or have recorded
        self.starts = 0
        self.hopeless = False  # it never recorded, and said that it cannot

    def use(self, settings: Settings) -> None:
        """New settings; the recorder is begun anew if they are about what it records."""
        anew = not settings.same_recording(self._settings)
        self._settings = settings
        if anew and self._job is not None:
            self._say("the settings of the recording have changed: it begins anew")
            self._job.end()
            self._next_s = self._machine.now_s()

    def keep_going(self) -> None:
        """Start it if it does not run, not too often."""
        now_s = self._machine.now_s()
        if self._job is not None and (code := self._job.poll()) is not None:
            self._has_ended(code, now_s)
        if self._job is None and now_s >= self._next_s:
            self._start(now_s)
        if now_s >= self._look_s or not self.manifests:
            self._look_s = now_s + LOOK_S
            self.look()

    @property
    def runs(self) -> bool:
        """Whether it runs and has begun to record."""
        return self._job is not None and bool(self.manifests)

    @property
    def pid(self) -> int | None:
        """Its process, if it runs."""
        return None if self._job is None else self._job.pid

    def parts(self) -> list[Path]:
        """The parts of the present series, oldest first."""
        return [] if self.name is None else parts_of(self.name)

    def ask_to_end(self) -> None:
        """End it properly, with the checks at the end; `ended` says whether it has."""
        if self._job is not None:
            self._job.end()

    @property
    def ended(self) -> bool:
        """Whether no recorder is left."""
        return self._job is None or self._job.poll() is not None

    def kill(self) -> None:
        """End it at once."""
        if self._job is not None:
            self._job.kill()

    def look(self) -> None:
        """Read what the parts say; the last numbers of one that has ended come when the next has begun."""
        found = []
        for part in self.parts()[-2:]:
            with suppress(TraceError, OSError):
                found.append(load(part))
        self.manifests = [each for each in found if each.coverage.attached]
        self._recorded |= bool(self.manifests)

    def _start(self, now_s: float) -> None:
        settings, when = self._settings, datetime.fromtimestamp(self._machine.time_s(), UTC)
        name = settings.folder / f"{PREFIX}{when:%Y%m%d-%H%M%S}"
        argv = [
            *SLABTRACE, "record", "-o", str(name), "--mode", "survivors", "--quiet",
            f"--sample={settings.sample}",
            f"--rotate={settings.rotate:g}s", f"--rotate={settings.part_bytes}B", f"--keep={settings.keep}",
            *([f"--threshold={settings.threshold}"] if settings.threshold else []),
            *settings.recorder_options(),
        ]  # fmt: skip
        try:
            self._job = self._machine.start(argv)
        except OSError as error:
            self._say(f"the recorder cannot be started: {error}")
            self._wait(now_s)
            return
        self.name, self._began_s, self.starts = name, now_s, self.starts + 1
        self.manifests = []

    def _has_ended(self, code: int, now_s: float) -> None:
        self._job = None
        self.hopeless |= code in (USAGE, CANNOT_TRACE) and not self._recorded
        if code:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._say(f"the recorder ended with {how}; it is started again")
        if now_s - self._began_s >= STEADY_S or not code:
            self._pause_s = FIRST_PAUSE_S
        self._wait(now_s)

    def _wait(self, now_s: float) -> None:
        self._next_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
