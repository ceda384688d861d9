# SPDX-License-Identifier: Apache-2.0
"""A recorded trace as the tables of api.py are made of it: read, scanned, and what a scan left, kept.

Every scan reads all events once.  The first one also makes the summary that nearly all tables need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.carried_objects import CarriedObjects
from slabtrace.analysis.counting.counted_objects import CountedObjects
from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.counting.lifetime_histogram import LifetimeHistogram
from slabtrace.analysis.counting.peaks import Peaks
from slabtrace.analysis.counting.recovered import recovered
from slabtrace.analysis.counting.summary import Lookup, Summary
from slabtrace.analysis.counting.timeline import Timeline
from slabtrace.analysis.grouping.kept import Kept, Question, by_process, chosen, every_object
from slabtrace.analysis.grouping.processes import SitesByProcess
from slabtrace.analysis.mismatches.object_layout import ObjectLayout, recorded_shapes
from slabtrace.analysis.mismatches.proof import FOREVER
from slabtrace.analysis.mismatches.wrong_frees import WrongFrees
from slabtrace.analysis.names.cache_names import Caches, name_caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.slabinfo import Samples, samples_by_cache
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import Accumulator, scan
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.pairing.unseen_allocations import UnseenAllocations
from slabtrace.analysis.trust.account import Account, Unsampled, take_account
from slabtrace.analysis.trust.confidence import Missed
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.reading.window import WindowReader

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from slabtrace.analysis.grouping.groups import Groups


class ScannedTrace:
    """The part of Trace that reads.  `progress`, if set, is called while events are read."""

    def __init__(self, path: str | os.PathLike[str], window_ns: tuple[int, int] | None = None) -> None:
        self._reader = TraceReader(path) if window_ns is None else WindowReader(path, *window_ns)
        self._summary: Summary | None = None
        self._peaks: Peaks | None = None
        self._timeline: Timeline | None = None
        self._histogram: LifetimeHistogram | None = None
        self._wrong_frees: WrongFrees | None = None
        self._kept: dict[Question, Kept] = {}  # what was asked last
        self.progress: Callable[[int], None] | None = None

    @property
    def manifest(self) -> Manifest:
        """What was recorded, where, when and how."""
        return self._reader.manifest

    @property
    def damage(self) -> list[str]:
        """Sentences on what is missing or cut, empty for a whole trace; complete once events were read."""
        return self._reader.damage

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """Start and end of the recording, CLOCK_MONOTONIC ns."""
        return self._reader.span()

    @property
    def length_ns(self) -> int:
        """How long the recording lasted."""
        begin, end = self.span_ns
        return end - begin

    def _scanned(self) -> Summary:
        """The summary of all events, made by the first scan."""
        return self._summary or self._scan([])

    def _grouped(self, by: str, question: Question) -> tuple[pd.DataFrame, Groups, Kept]:
        """What is outstanding of the objects asked for, with the groups it is in."""
        from slabtrace.analysis.grouping.groups import group_sites, modules
        from slabtrace.analysis.tables.outstanding import outstanding
        from slabtrace.analysis.trust.confidence import prove

        kept = self._kept_objects(question._replace(by_process=by == "process"))
        module = modules(kept.sites, self._lookup.stacks, self._lookup.symbols)
        groups = group_sites(kept.sites, kept.caches, by, module, kept.process)
        damaged = bool(self.damage)
        proof = prove(self._slabs, self._account(), self._missed(), self._losses, self.manifest, damaged)
        return outstanding(kept, self._lookup, groups, proof), groups, kept

    def _kept_objects(self, question: Question) -> Kept:
        """What became of the objects asked for, by a scan of their own if they were not just asked for."""
        if question not in self._kept:
            self._kept = {question: self._asked(question)}
        return self._kept[question]

    def _asked(self, question: Question) -> Kept:
        if question == Question():
            ages = self._new_ages()
            return every_object(self._sites, self._caches, self._scan([ages]).objects, ages)
        choice, events = question.choice(self._tasks), self._watched_events()
        if not question.by_process:
            ages = Ages(len(self._sites), *self.span_ns, choice)
            return chosen(choice, events, self._pairer(self._sites), self._caches, ages)
        pairs = SitesByProcess(self._reader.events(), self._sites, self._tasks)
        ages = Ages(len(pairs.sites), *self.span_ns, choice)
        caches = by_process(pairs, self._caches)
        kept = chosen(choice, pairs.events(events), self._pairer(pairs.sites), caches, ages)
        kept.process = pairs.process
        return kept

    def _new_ages(self) -> Ages:
        """Of all objects: those that were only counted are in them from the start."""
        ages = Ages(len(self._sites), *self.span_ns)
        self._counted.add_octaves(ages.lived)
        return ages

    def _new_wrong_frees(self) -> WrongFrees:
        coverage = self.manifest.coverage
        return WrongFrees(
            self._sites,
            self._layout,
            cache_is_named=not coverage.free_traced_after,
            judged=coverage.frees_judged,
            every_free_recorded=not self.manifest.survivors,
        )

    def _timelines(self, buckets: int) -> tuple[Timeline, Peaks]:
        """Usage in `buckets`, and peaks, made by a scan of their own if none has yet."""
        if self._timeline is not None and self._peaks is not None and self._timeline.asked == buckets:
            return self._timeline, self._peaks
        timeline, peaks, histogram = self._new_timelines(buckets)
        self._scan([timeline, peaks, histogram])
        return timeline, peaks

    def _new_timelines(self, buckets: int) -> tuple[Timeline, Peaks, LifetimeHistogram]:
        """What a scan is to fill, remembered."""
        self._timeline = timeline = Timeline(self._sites, self._caches, *self.span_ns, buckets)
        self._peaks, self._histogram = peaks, histogram = Peaks(self._caches), self._new_histogram()
        return timeline, peaks, histogram

    def _new_histogram(self) -> LifetimeHistogram:
        histogram = LifetimeHistogram(self._caches)
        histogram.add_counted(self._counted)
        return histogram

    def _scan(self, accumulators: Sequence[Accumulator]) -> Summary:
        """Read all events once for `accumulators`, and for the summary if that is still missing."""
        pairer = self._pairer()
        if self._summary is not None:
            scan(self._watched_events(), pairer, accumulators)
            return self._summary
        counts = SiteCounts(self._sites, self.manifest.host.cpu_nodes)
        counts.add_counted(self._counted)
        started_ns = self.manifest.started_ns
        unsampled = Unsampled(self._sites, self._slabinfo, started_ns)
        unseen, carried = UnseenAllocations(self._slabs), CarriedObjects(self._sites, started_ns)
        live = scan(self._watched_events(), pairer, [*accumulators, counts, unsampled, unseen, carried])
        tallied = unsampled.events, unseen.by_cache(pairer), carried.objects
        self._summary = Summary(self._sites, self._caches, counts, live, *tallied)
        return self._summary

    def _watched_events(self) -> Iterator[EventBatch]:
        """All events, telling `progress` how many were read."""
        read = 0
        for batch in self._reader.events():
            read += batch.size
            if self.progress is not None:
                self.progress(read)
            yield batch
        if self.progress is not None:
            self.progress(max(read, self.manifest.totals.events))  # a pass has ended, whatever is missing

    @cached_property
    def _losses(self) -> Losses:
        summary = self._scanned()
        found = recovered(summary.sites, summary.counts, self.manifest)
        return Losses(self._ledger, self.manifest, found)

    def _missed(self) -> Missed:
        allocations = np.zeros(len(self._caches), np.int64)
        row = dict(zip(self._sites["cache"].tolist(), self._caches.of_site.tolist(), strict=True))
        for cache, count in self._scanned().unseen_allocations.items():
            if cache in row:
                allocations[row[cache]] += count
        before = self._reader.carried("missed")
        earlier = np.zeros(len(self._sites), np.int64)
        site = plain(before.column("site"))
        known = site < len(earlier)  # sites.arrow may be cut
        np.add.at(earlier, site[known], plain(before.column("frees")).astype(np.int64)[known])
        frees = self._inferred() + by_group(self._caches.of_site, earlier, len(self._caches))
        carried = by_group(self._caches.of_site, self._scanned().carried, len(self._caches))
        return Missed(frees, allocations, carried)

    def _inferred(self) -> Counts:
        return by_group(self._caches.of_site, self._scanned().counts.inferred, len(self._caches))

    def _known_until_ns(self) -> int:
        """Until when nothing of the recording is missing in the files: its end, if they are whole.

        Of a recorder that was killed, until it last kept its books: the ledger of losses, then slabinfo.
        """
        if not self.damage:
            return FOREVER
        times = [int(each.ts_ns[-1]) for each in self._slabinfo.values()]
        return max(times, default=0) if self._reader.only_cut else 0

    def _account(self) -> Account:
        return take_account(self._scanned(), self._slabinfo, self.manifest.host)

    def _pairer(self, sites: Sites | None = None) -> Pairer:
        coverage = self.manifest.coverage
        return Pairer(
            self._sites if sites is None else sites,
            free_traced_after=coverage.free_traced_after,
            slabs=self._slabs,
            preemptible=coverage.programs_preemptible,
        )

    @cached_property
    def _sites(self) -> Sites:
        return Sites.from_table(self._reader.sites)

    @cached_property
    def _caches(self) -> Caches:
        return name_caches(self._reader.table("caches"), self._sites, list(self._slabinfo))

    @cached_property
    def _slabinfo(self) -> dict[str, Samples]:
        return samples_by_cache(self._reader.table("slabinfo"))

    @cached_property
    def _counted(self) -> CountedObjects:
        table, steps = self._reader.table("counted"), self.manifest.steps
        return CountedObjects.from_table(table, len(self._sites), steps)

    @cached_property
    def _layout(self) -> ObjectLayout:
        host = self.manifest.host
        shapes = recorded_shapes(self._reader.table("caches"), host)
        return ObjectLayout(shapes, self._sites, host.page_size)

    @cached_property
    def _ledger(self) -> pa.Table:
        return self._reader.table("losses")

    @cached_property
    def _slabs(self) -> SlabStates:
        return SlabStates(self._reader.table("slabs"))

    @cached_property
    def _tasks(self) -> Tasks:
        return Tasks(self._reader.table("tasks"))

    @cached_property
    def _lookup(self) -> Lookup:
        symbols = Symbols(self._reader.table("symbols"))
        stacks = Stacks(self._reader.table("stacks"), symbols)
        return Lookup(symbols, stacks, self._tasks, self.span_ns[0], self.manifest.recorder.pid)
