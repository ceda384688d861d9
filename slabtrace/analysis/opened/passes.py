# SPDX-License-Identifier: Apache-2.0
"""Passes over the events of a trace, and what they leave in memory.

A pass reads all events once and feeds accumulators.  The first one also makes the summary, which nearly all
tables need.  What a pass leaves is kept: the next table that needs it costs no further pass.

Example: tables asked for one after the other.

    table               pass   it feeds, besides the Pairer
    stat()              1      the summary
    leaks()             2      ages of all objects
    leaks(by="cache")   none
    caches()            3      timeline, peaks, histogram
    usage(), peaks()    none
    leaks(pid=[7])      4      ages of these objects; the answer replaces that of leaks()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slabtrace.analysis.counting.ages import Ages, Choice
from slabtrace.analysis.counting.carried_objects import CarriedObjects
from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.counting.lifetime_histogram import LifetimeHistogram
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.counting.peaks import Peaks
from slabtrace.analysis.counting.sampling import SampledHits
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.counting.timeline import Timeline
from slabtrace.analysis.freeing.releases import Releases
from slabtrace.analysis.grouping.kept import Kept, Question, by_process, chosen, every_object
from slabtrace.analysis.grouping.processes import SitesByProcess
from slabtrace.analysis.grouping.task_filter import Nothing
from slabtrace.analysis.mismatches.wrong_frees import WrongFrees
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.scan import Accumulator, scan
from slabtrace.analysis.pairing.unseen_allocations import UnseenAllocations
from slabtrace.analysis.trust.account import Unsampled
from slabtrace.analysis.trust.filters import PARTIAL_FILTERS, filtered
from slabtrace.analysis.trust.foreign import refusals

if TYPE_CHECKING:
    import pandas as pd

EVERYTHING = Question()


class Passes:
    """The results of passes over the events of `recorded`, each made by the first who asks for it."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._refused = bool(refusals(recorded.manifest))
        self._summary: Summary | None = None
        self._timeline: Timeline | None = None
        self._peaks: Peaks | None = None
        self._histogram: LifetimeHistogram | None = None
        self._wrong_frees: WrongFrees | None = None
        self._kept: dict[Question, Kept] = {}  # the last question, and its answer

    @property
    def summary(self) -> Summary:
        """Counts by site, and the objects outstanding."""
        return self._summary or self.run([])

    def kept(self, question: Question) -> Kept:
        """The objects that a question is about, by a pass of their own if they were not just asked for."""
        if question not in self._kept:
            self._kept = {question: self._answer(question)}
        return self._kept[question]

    def timelines(self, buckets: int) -> tuple[Timeline, Peaks]:
        """Usage over time in `buckets` equal parts, and the peaks."""
        if self._timeline is None or self._peaks is None or self._timeline.asked != buckets:
            self.run(self._new_timelines(buckets))
        assert self._timeline is not None and self._peaks is not None  # noqa: S101  (for mypy)
        return self._timeline, self._peaks

    def histogram(self) -> LifetimeHistogram:
        """Lifetimes by cache."""
        if self._histogram is None:
            self._histogram = self._new_histogram()
            self.run([self._histogram])
        return self._histogram

    def wrong_frees(self) -> WrongFrees:
        """Frees that contradict what was seen before."""
        if self._wrong_frees is None:
            self._wrong_frees = self._new_wrong_frees()
            self.run([self._wrong_frees])
        return self._wrong_frees

    def run_once(self, buckets: int) -> None:
        """One pass for timelines, outstanding objects and wrong frees together."""
        ages, self._wrong_frees = self.new_ages(), self._new_wrong_frees()
        older = self._new_older(ages)
        self._add_earlier(ages, older)
        summary = self.run([*self._new_timelines(buckets), ages, older, self._wrong_frees])
        objects = every_object(self._recorded.sites, self._recorded.caches, summary.objects, ages, older)
        if not self._refused:
            self._kept = {Question(): objects}

    def run(self, accumulators: Sequence[Accumulator]) -> Summary:
        """Read all events once for `accumulators`, and for the summary if that is still missing."""
        recorded = self._recorded
        pairer = recorded.pairer()
        if self._summary is not None:
            scan(recorded.events(), pairer, accumulators)
            return self._summary
        counts = SiteCounts(recorded.sites, recorded.manifest.host.cpu_nodes)
        counts.add_counted(recorded.counted)
        started_ns = recorded.manifest.started_ns
        unsampled = Unsampled(recorded.sites, recorded.slabinfo, started_ns)
        unseen, carried = UnseenAllocations(recorded.slabs), CarriedObjects(recorded.sites, started_ns)
        live = scan(recorded.events(), pairer, [*accumulators, counts, unsampled, unseen, carried])
        tallied = unsampled.events, unseen.by_cache(pairer), carried.objects
        self._summary = Summary(recorded.sites, recorded.caches, counts, live, *tallied)
        return self._summary

    def with_estimated_hits(self, frame: pd.DataFrame, by: str) -> pd.DataFrame:
        """The table of totals of a sample, with what its hits stand for; `by`: "call_site" or "cache"."""
        recorded, one_in = self._recorded, self._recorded.manifest.sampled_one_in
        hits = SampledHits(len(recorded.sites))
        self.run([hits])
        names = np.array(recorded.caches.names, object)
        key = recorded.sites["call_site"] if by == "call_site" else names[recorded.caches.of_site]
        errors = hits.errors(one_in, key)
        error = [errors[each] for each in frame[by].tolist()]
        return frame.assign(hits_estimate=frame["hits"] * one_in, hits_error=error)

    def new_ages(self) -> Ages:
        """Ages of all objects; those that were only counted are in them from the start."""
        ages = self._ages_of(len(self._recorded.sites), Question())
        self._recorded.counted.add_octaves(ages.lived)
        return ages

    def _answer(self, question: Question) -> Kept:
        recorded = self._recorded
        if question == Question() and not self._refused:
            ages = self.new_ages()
            older = self._new_older(ages)
            self._add_earlier(ages, older)
            objects = self.run([ages, older]).objects
            return every_object(recorded.sites, recorded.caches, objects, ages, older)
        if question.by_whom:
            return self._answer_by_process(question)
        ages = self._ages_of(len(recorded.sites), question)
        older = self._new_older(ages, question)
        self._add_earlier(ages, older, question)
        choice, caches = self._choice(question), recorded.caches
        kept = chosen(choice, recorded.events(), recorded.pairer(), caches, ages, older)
        kept.until_ns = question.between[1] if question.between else None
        return kept

    def _answer_by_process(self, question: Question) -> Kept:
        """Every site is split by the processes that left objects there, which the summary knows."""
        recorded, choice = self._recorded, self._choice(question)
        whose = recorded.whose(question.by_whom, self.summary.live)
        split = SitesByProcess(self.summary.live, recorded.sites, whose)
        ages = self._ages_of(len(split.sites), question)
        older = self._new_older(ages, question)
        self._add_earlier(ages, older, question, split.site)
        caches, events = by_process(split, recorded.caches), split.events(recorded.events())
        pairer = recorded.pairer(split.sites)
        if recorded.earlier is not None:
            pairer.expect(*split.events([recorded.earlier.uncompleted]))
        kept = chosen(choice, events, pairer, caches, ages, older)
        kept.until_ns = question.between[1] if question.between else None
        kept.process, kept.whose = split.process, whose
        return kept

    def _choice(self, question: Question) -> Choice | None:
        """Selects the allocations that are asked for; none, where nothing can be said of them."""
        if self._refused:
            return Nothing()
        return question.choice(self._recorded.tasks, self._recorded.processes)

    def _ages_of(self, sites: int, question: Question) -> Ages:
        """Ages of the objects of a question.  A stretch is judged from its begin to the recording's end."""
        begin_ns, end_ns = self._recorded.judged_ns
        least_ns = 0
        if question.between is not None:
            begin_ns, least_ns = question.between[0], max(end_ns - question.between[1], 0)
        choice = self._choice(question)
        survived_ns = round(self._recorded.manifest.threshold_s * 1e9)
        releases = Releases(max(begin_ns, self._recorded.span_ns[0]), end_ns)
        return Ages(sites, begin_ns, end_ns, choice, least_ns, survived_ns, releases)

    def _new_older(self, ages: Ages, question: Question = EVERYTHING) -> OlderFrees:
        first = int(ages.horizons_ns[0]) if len(ages.horizons_ns) else ages.length_ns + 1
        within = question.between is not None
        return OlderFrees(ages.begin_ns + first, ages.begin_ns if within else None)

    def _add_earlier(
        self,
        ages: Ages,
        older: OlderFrees,
        question: Question = EVERYTHING,
        of_site: Positions | None = None,
    ) -> None:
        """Add what earlier parts of the series counted: of every task, for whose it was is not known."""
        earlier = self._recorded.earlier
        if earlier is not None and question.between is None:
            earlier.give(ages, older, of_site)

    def _new_wrong_frees(self) -> WrongFrees:
        recorded, coverage = self._recorded, self._recorded.manifest.coverage
        return WrongFrees(
            recorded.sites,
            recorded.layout,
            cache_is_named=not coverage.free_traced_after and recorded.manifest.foreign is None,
            judged=coverage.frees_judged,
            every_free_recorded=not recorded.manifest.survivors,
        )

    def _new_timelines(self, buckets: int) -> tuple[Timeline, Peaks, LifetimeHistogram]:
        """What a pass is to fill."""
        recorded = self._recorded
        whole = not filtered(recorded.manifest, PARTIAL_FILTERS)
        timeline = Timeline(recorded.sites, recorded.caches, *recorded.span_ns, buckets, old_frees=whole)
        self._timeline = timeline
        peaks = self._peaks = Peaks(recorded.caches)
        histogram = self._histogram = self._new_histogram()
        return timeline, peaks, histogram

    def _new_histogram(self) -> LifetimeHistogram:
        histogram = LifetimeHistogram(self._recorded.caches)
        histogram.add_counted(self._recorded.counted)
        return histogram
