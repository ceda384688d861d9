# SPDX-License-Identifier: Apache-2.0
"""The service's metrics: those of its last judgement, and numbers of its own; about 140 series at most.

Counters of events go on where a part ends and when a recorder is started again.  A suspect that was exported
once stays, with 0 when it is gone, until the service ends or the bound pushes it out: no series flaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slabtrace.fleet.metrics.families import MOST_SUSPECTS, Family, families
from slabtrace.trace.manifest import Manifest
from slabtrace.watching.judgement import Judgement

KEPT = 8  # parts, and series, that are counted by themselves
SUSPECT = "slabtrace_suspect_"
CERTAIN = "slabtrace_suspect_growth_certain_bytes_per_second"
SINCE = "slabtrace_suspect_since_timestamp_seconds"


class Totals:
    """Counts over all parts and recorders of the service's life, by the manifests it sees."""

    def __init__(self) -> None:
        self._events: dict[tuple[int, int], int] = {}  # by series and part
        self._lost: dict[tuple[int, int], int] = {}
        self._cpu_ns: dict[int, int] = {}  # by series, which is one process

    def take(self, manifest: Manifest) -> None:
        """What a part says now; the final numbers of one that has ended may come after those of the next."""
        series = manifest.part.series_started_ns if manifest.part else manifest.started_ns
        part = series, manifest.part.number if manifest.part else 0
        _grow(self._events, part, manifest.totals.events)
        _grow(self._lost, part, manifest.totals.dropped)
        _grow(self._cpu_ns, series, manifest.recorder.cpu_ns)

    @property
    def events(self) -> int:
        """Events stored."""
        return sum(self._events.values())

    @property
    def lost(self) -> int:
        """Events lost, at most."""
        return sum(self._lost.values())

    @property
    def cpu_s(self) -> float:
        """CPU time of the recorders."""
        return sum(self._cpu_ns.values()) / 1e9


def _grow(counts: dict[Any, int], key: Any, value: int) -> None:
    """Set a count, which never shrinks; the oldest of many become one."""
    counts[key] = max(counts.get(key, 0), value)
    while len(counts) > KEPT:
        oldest, older, *_ = sorted(counts)
        counts[older] += counts.pop(oldest)


class Exported:
    """All metrics, made of the last judgement and of what `numbers` says of the service."""

    def __init__(self) -> None:
        self._judged: list[Family] = []
        self._suspects: dict[tuple[str, ...], None] = {}  # in the order in which they came

    def judged(self, judgement: Judgement) -> None:
        """Take a judgement."""
        self._judged = [self._kept(each) for each in families(judgement.facts, judgement.findings)]

    def families(self, totals: Totals, numbers: Mapping[str, Any]) -> list[Family]:
        """All metrics as they are now; `numbers`: see service.py."""
        own = list(_own(totals, numbers))
        replaced = {each.name for each in own}
        return [*(each for each in self._judged if each.name not in replaced), *own]

    def _kept(self, family: Family) -> Family:
        """A family of suspects with 0 for those that were exported before."""
        if not family.name.startswith(SUSPECT):
            return family
        now = dict(family.samples)
        self._suspects |= dict.fromkeys(now)
        gone = [labels for labels in self._suspects if labels[0] not in {each[0] for each in now}]
        room = max(MOST_SUSPECTS - len(now), 0)
        kept = gone[-room:] if room else []
        self._suspects = dict.fromkeys([*kept, *now])
        if family.name == SINCE:
            return family
        return family._replace(samples=(*family.samples, *((labels, 0.0) for labels in kept)))


def _own(totals: Totals, numbers: Mapping[str, Any]) -> Iterable[Family]:
    yield _counter("slabtrace_events", "Events recorded.", totals.events)
    yield _counter("slabtrace_events_lost", "Events lost, at most.", totals.lost)
    yield _gauge("slabtrace_recording", "1 while it is being recorded.", numbers["recording"])
    yield _counter("slabtrace_recorder_cpu_seconds", "CPU time of the recorder.", totals.cpu_s)
    yield _counter("slabtrace_watch_analysis_cpu_seconds", "CPU time of judgements.", numbers["cpu_s"])
    yield _counter("slabtrace_watch_recorder_starts", "How often a recorder was started.", numbers["starts"])
    for name, words in (
        ("judgements", "Judgements of the series, by how they ended."),
        ("triggered", "Triggered recordings, by how they ended."),
        ("commands", "Commands on a finding, by how they ended."),
    ):
        samples = tuple(((each,), float(number)) for each, number in numbers[name].items())
        yield Family(f"slabtrace_watch_{name}", "counter", words, ("result",), samples)
    yield _gauge("slabtrace_watch_disk_bytes", "What all files take.", numbers["disk"])
    words = "1 if the last judgement failed, or none was made yet."
    yield _gauge("slabtrace_digest_unreadable", words, not numbers["judged"])


def _counter(name: str, words: str, value: float) -> Family:
    return Family(name, "counter", words, (), (((), float(value)),))


def _gauge(name: str, words: str, value: float) -> Family:
    return Family(name, "gauge", words, (), (((), float(value)),))
