# SPDX-License-Identifier: Apache-2.0
"""The service: what one step after another does.  running.py calls the steps.

No step waits for anything: what takes time is a process, and a later step looks whether it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slabtrace.errors import SlabtraceError, TraceError, UsageError
from slabtrace.fleet.metrics import openmetrics
from slabtrace.trace.manifest import COMPLETE
from slabtrace.units import growth, size
from slabtrace.watching import known, state
from slabtrace.watching.commands import Commands
from slabtrace.watching.conditions import SAMPLE_S, Condition
from slabtrace.watching.exported import Exported, Totals
from slabtrace.watching.jobs import Machine
from slabtrace.watching.judgement import Judge, Judgement, read
from slabtrace.watching.known import Finding
from slabtrace.watching.recorder import Recorder
from slabtrace.watching.room import make_room
from slabtrace.watching.settings import Settings
from slabtrace.watching.triggered import Triggered
from slabtrace.watching.triggers import CACHE, FINDING, MEMORY, Trigger

SAVE_S, ROOM_S = 15.0, 30.0
Read = Callable[[], Settings]  # the settings as they are now; raises UsageError
Say = Callable[[str], None]


class Service:
    """What one step after another does.  `read`: reads the settings."""

    def __init__(self, read: Read, machine: Machine, say: Say) -> None:
        self._read, self._machine, self.say = read, machine, say
        self.settings = settings = read()
        before = state.load(settings.folder)
        if not before and state.put_aside(settings.folder):
            say(f"{state.STATE} could not be read, and is put aside: earlier findings are forgotten")
        self.recorder_before = before.get("recorder")  # the process of an earlier service's recorder
        self.known = known.from_json(before.get("findings"))
        self.recorder = Recorder(machine, settings, say)
        self.judge = Judge(machine, settings, say)
        self.commands = Commands(machine, settings, say)
        times = state.times(before.get("triggered"))
        self.triggered = Triggered(machine, settings, say, times)
        self.conditions = [Condition(each) for each in settings.when if each.kind != FINDING]
        self.exported, self.totals = Exported(), Totals()
        self._last: Judgement | None = None
        self._unread: set[str] = set()
        self.ready = False
        self._disk = 0
        self._due = {"sample": 0.0, "save": 0.0, "room": 0.0}
        self.snapshot = openmetrics.Snapshot()
        self._registry: Any = None

    def step(self) -> None:
        """Do what is due."""
        self.recorder.keep_going()
        for manifest in self.recorder.manifests:
            self.totals.take(manifest)
        if self.recorder.runs and not self.ready:
            self.ready = True
            self.say(f"recording into {self.recorder.name}")
        if self._is_due("sample", SAMPLE_S):
            self._sample()
        if (judged := self.judge.take(self.recorder.parts())) is not None:
            self.take(judged)
        if (digest := self.triggered.step()) is not None:
            self.confirm(digest)
        self.commands.step()
        if self._is_due("room", ROOM_S):
            settings = self.settings
            self._disk = make_room(settings.folder, settings.disk, settings.keep, self.recorder.parts())
        if self._is_due("save", SAVE_S):
            self.save()

    def take(self, judgement: Judgement) -> None:
        """Take a judgement: findings that are new are said, given to the command, and may trigger."""
        facts, boot_id = judgement.facts, self._machine.boot_id()
        ended = facts["status"] == COMPLETE
        rows = self.known.settled(judgement.findings, boot_id, ended)
        if ended or self._last is None or self._last.facts["status"] != COMPLETE:
            self._last = judgement
        new = self.known.take(rows, facts["end_s"], facts["end_ns"] / 1e9, boot_id, ended)
        self.exported.judged(Judgement(facts, rows))
        for finding in new:
            self._found(finding)
        self.save()

    def confirm(self, digest: Path) -> None:
        """Take what a triggered recording found."""
        try:
            judged = read(digest)
        except (TraceError, OSError) as error:
            self.say(f"{digest.name} cannot be read: {error}")
            return
        for finding in self.known.confirm(judged.findings, judged.facts["end_s"]):
            self._found(finding)

    def reload(self) -> None:
        """Read the settings again; the old ones stay if they are wrong."""
        try:
            settings = self._read()
            if settings.folder != self.settings.folder:
                raise UsageError("the folder cannot change while the service runs", "restart it")
            if settings.listen != self.settings.listen:
                raise UsageError("the address of metrics cannot change while the service runs", "restart it")
        except SlabtraceError as error:
            self.say(f"the settings stay as they were: {error.message}")
        else:
            self._use(settings)
            self.say("the settings were read again")

    def save(self) -> None:
        """Write the state, and the metrics."""
        try:
            state.save(self.settings.folder, self.to_json())
        except OSError as error:
            self._once("state", f"{state.STATE} cannot be written: {error.strerror}")
        self.snapshot.families = self.exported.families(self.totals, self._numbers())
        if self.settings.textfile is not None:
            try:
                self._registry = self._registry or openmetrics.registry_of(self.snapshot)
                openmetrics.write_textfile(self.settings.textfile, self._registry)
            except OSError as error:
                self._once("textfile", f"{self.settings.textfile} cannot be written: {error.strerror}")

    def to_json(self) -> dict[str, Any]:
        """The state as one JSON object, without its schema."""
        last = self._last
        return {
            "recording": self.recorder.runs,
            "recorder": self.recorder.pid,
            "series": str(self.recorder.name or ""),
            "verdict": last.facts["verdict"] if last else "",
            "least_per_day": last.facts["least_per_day"] if last else None,
            "judged_until_s": last.facts["end_s"] if last else None,
            "disk_bytes": self._disk,
            "events": self.totals.events,
            "lost": self.totals.lost,
            "triggers": [each.text for each in self.settings.when],
            "triggered": self.triggered.times,
            "triggered_newest": self.triggered.newest,
            "counts": {name: self._numbers()[name] for name in ("judgements", "triggered", "commands")},
            "findings": self.known.to_json(),
        }

    def end(self) -> None:
        """Begin to end: nothing new is begun."""
        self.say("ending")
        self.judge.end()
        self.triggered.end()
        self.recorder.ask_to_end()

    @property
    def ended(self) -> bool:
        """Whether no process that records is left."""
        return self.recorder.ended and not self.triggered.is_recording

    def judge_last(self) -> None:
        """Begin the last judgement: the checks at the end of the recording may have confirmed findings."""
        self.recorder.look()
        for manifest in self.recorder.manifests:
            self.totals.take(manifest)
        self.judge.now(self.recorder.parts())

    def step_to_end(self) -> bool:
        """A step of the last judgement, and of the commands on what it found; whether all is done."""
        if (judged := self.judge.take([])) is not None:
            self.take(judged)
        self.commands.step()
        return not (self.judge.runs or self.commands.runs)

    def kill(self) -> None:
        """End all processes at once."""
        self.recorder.kill()
        self.triggered.kill()
        self.judge.end()
        self.commands.end()

    def _use(self, settings: Settings) -> None:
        kept = {each.trigger: each for each in self.conditions}
        measured = [each for each in settings.when if each.kind != FINDING]
        self.conditions = [kept.get(each) or Condition(each) for each in measured]
        self.settings = self.judge.settings = self.commands.settings = self.triggered.settings = settings
        self.recorder.use(settings)

    def _sample(self) -> None:
        """Measure what triggers are about."""
        kinds = {each.trigger.kind for each in self.conditions}
        now_s = self._machine.now_s()
        memory = self._machine.unreclaimable() if MEMORY in kinds else None
        caches = self._machine.caches() if CACHE in kinds else None
        for condition in self.conditions:
            trigger = condition.trigger
            value = memory
            if trigger.kind == CACHE:
                value = _sum(caches, trigger)
            if value is None:
                self._once(trigger.kind, f"{trigger.text}: it cannot be measured here")
            elif condition.take(now_s, value):
                self.triggered.fire(f"{trigger.text} ({size(value)} now)")

    def _found(self, finding: Finding) -> None:
        if finding.class_ == known.SUSPECT:
            certain = growth(finding.growth_certain_bytes_per_s)
            self.say(f"suspected leak: {finding.title}, certainly {certain}, {size(finding.bytes)} now")
            self.commands.run_for(finding.to_json())
        for trigger in self.settings.when:
            if trigger.kind == FINDING and not finding.triggered and _means(trigger, finding):
                finding.triggered = True
                self.triggered.fire(f"{trigger.text}: {finding.title}")

    def _numbers(self) -> dict[str, Any]:
        """What metrics say of the service."""
        return {
            "recording": self.recorder.runs,
            "starts": self.recorder.starts,
            "judgements": {"ok": self.judge.done, "failed": self.judge.failed},
            "triggered": self.triggered.counts,
            "commands": self.commands.counts,
            "cpu_s": self.judge.cpu_s,
            "disk": self._disk,
            "judged": self.judge.was_read,
        }

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._machine.now_s()
        if now_s < self._due[what]:
            return False
        self._due[what] = now_s + every_s
        return True

    def _once(self, what: str, words: str) -> None:
        """Say something that would be said again and again."""
        if what not in self._unread:
            self._unread.add(what)
            self.say(words)


def _sum(caches: dict[str, int] | None, trigger: Trigger) -> float | None:
    if caches is None:
        return None
    return float(sum(bytes_ for name, bytes_ in caches.items() if trigger.means(name)))


def _means(trigger: Trigger, finding: Finding) -> bool:
    named = any(trigger.means(name) for name in (finding.title, finding.cache, *_functions(finding.title)))
    enough = trigger.limit is None or finding.growth_certain_bytes_per_s > trigger.limit
    return named and enough and finding.class_ in trigger.classes


def _functions(title: str) -> list[str]:
    return title.partition(": ")[2].split(" < ")
