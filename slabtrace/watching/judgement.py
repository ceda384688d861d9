# SPDX-License-Identifier: Apache-2.0
"""Judges the newest part of the series, again and again: `slabtrace digest` in a process of its own.

A part has what earlier ones left, so its judgement is of the whole series.  It is judged while it is
recorded, and once more when it has ended: only then nothing is missing, and there can be suspects.  After a
judgement that took c seconds of CPU time the next one waits c / `cpu` at least, so on average all of them
take that share of a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from slabtrace.errors import TraceError
from slabtrace.fleet.digests.file import MOST_BYTES, SUFFIX, Digest
from slabtrace.fleet.metrics.families import READ as EXPORTED
from slabtrace.series.parts import SUFFIX as PART_SUFFIX
from slabtrace.trace.format.schema import CARRIED_DIR
from slabtrace.watching.jobs import SLABTRACE, UNPRIVILEGED, Job, Machine
from slabtrace.watching.known import READ
from slabtrace.watching.settings import Settings

DIGESTS = "digests"
LONGEST_S = 1800.0
CARRY_S = 300.0
FIRST_S = 60.0  # until the first judgement: then there are metrics
COLUMNS = tuple(dict.fromkeys((*READ, *EXPORTED)))


class Judgement(NamedTuple):
    """`facts`: columns.fleet.TRACE_FACTS.  `findings`: COLUMNS of all findings."""

    facts: dict[str, Any]
    findings: list[dict[str, Any]]


def digest_command(trace: Path, folder: Path) -> list[str]:
    """The command that makes the digest of `trace`, in `folder`."""
    return [*UNPRIVILEGED, *SLABTRACE, "digest", str(trace), "--quiet", "--force", "-o", str(folder)]


def digest_of(trace: Path, folder: Path) -> Path:
    """Where that digest is."""
    return folder / f"{trace.name.removesuffix(PART_SUFFIX)}{SUFFIX}"


def read(digest: Path) -> Judgement:
    """What a digest says.  Raises TraceError, OSError."""
    with digest.open("rb") as file:
        found = Digest(file.read(MOST_BYTES + 1), str(digest))
    return Judgement(found.trace(), found.findings(COLUMNS).to_pylist())


class Judge:
    """Judges parts when it is time.  `say`: takes a line for the log."""

    def __init__(self, machine: Machine, settings: Settings, say: Callable[[str], None]) -> None:
        self._machine, self._say = machine, say
        self.settings = settings
        self._job: Job | None = None
        self._part = Path()
        self._began_s = 0.0
        self._next_s = machine.now_s() + min(settings.every, FIRST_S)
        self._newest, self._newest_s = Path(), 0.0
        self._ended, self._earliest_s = Path(), 0.0
        self.done = self.failed = 0
        self.cpu_s = self._last_cpu_s = 0.0
        self.was_read = False

    def take(self, parts: list[Path]) -> Judgement | None:
        """Begin to judge one of `parts` if it is time; a judgement that is ready.

        A part is judged when it has ended, as soon as the share of the CPU allows, and the newest one, which
        is still recorded, each `every`.
        """
        now_s = self._machine.now_s()
        if self._job is not None:
            return self._look(self._job, now_s)
        newest, ended = self._newest_whole(parts, now_s), parts[-2:-1]
        if ended and ended[0] != self._ended and now_s >= self._earliest_s:
            self._ended = ended[0]
            self._begin(ended[0], now_s)
        elif newest is not None and now_s >= self._next_s:
            self._begin(newest, now_s)
        return None

    def now(self, parts: list[Path]) -> None:
        """Begin to judge the newest of `parts`."""
        self.end()
        if parts:
            self._begin(parts[-1], self._machine.now_s())

    @property
    def runs(self) -> bool:
        """Whether a judgement runs."""
        return self._job is not None

    def end(self) -> None:
        """End what runs."""
        if self._job is not None:
            self._job.kill()
            self._job = None

    def _newest_whole(self, parts: list[Path], now_s: float) -> Path | None:
        """The newest part, if it has what earlier ones left: carrying that takes a while."""
        if not parts:
            return None
        newest = parts[-1]
        if newest != self._newest:
            self._newest, self._newest_s = newest, now_s
        whole = len(parts) == 1 or (newest / CARRIED_DIR).is_dir()
        return newest if whole or now_s - self._newest_s > CARRY_S else None

    def _begin(self, part: Path, now_s: float) -> None:
        self._part, self._began_s = part, now_s
        folder = self.settings.folder / DIGESTS
        try:
            folder.mkdir(exist_ok=True)
            self._job = self._machine.start(digest_command(part, folder))
        except OSError as error:
            self._failed(f"cannot be started: {error}", now_s)

    def _look(self, job: Job, now_s: float) -> Judgement | None:
        code = job.poll()
        if code is None:
            if now_s - self._began_s > LONGEST_S:
                job.kill()
            return None
        self._job, self._last_cpu_s = None, job.cpu_s
        self.cpu_s += job.cpu_s
        self._wait(now_s)
        if code:
            self._failed(f"ended with {code}", now_s)
            return None
        try:
            judged = read(digest_of(self._part, self.settings.folder / DIGESTS))
        except (TraceError, OSError) as error:
            self._failed(f"cannot be read: {error}", now_s)
            return None
        self.done, self.was_read = self.done + 1, True
        return judged

    def _wait(self, now_s: float) -> None:
        pause_s = self._last_cpu_s / self.settings.cpu
        self._earliest_s = now_s + pause_s
        self._next_s = now_s + max(self.settings.every, pause_s)

    def _failed(self, why: str, now_s: float) -> None:
        self.failed, self.was_read = self.failed + 1, False
        self._wait(now_s)
        self._say(f"the judgement of {self._part.name} {why}")
