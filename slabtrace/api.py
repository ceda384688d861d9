# SPDX-License-Identifier: Apache-2.0
"""The Python interface to a recorded trace: `slabtrace.open(path)` gives a Trace.

    trace = slabtrace.open("boot.slab")
    trace.leaks().head()
    for lifetimes in trace.lifetimes():
        ...

Tables are pandas DataFrames; what may not fit into memory comes as an iterator of Arrow record
batches.  The first table asked for reads all events once, and the others are made of its result
(`caches` and `usage` need what `stat` and `leaks` do not: asked for first, they spare a pass).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from slabtrace.analysis.account import Account, Unsampled, take_account
from slabtrace.analysis.ages import Ages
from slabtrace.analysis.cache_names import Caches, name_caches
from slabtrace.analysis.completeness import Completeness, assess, recovered
from slabtrace.analysis.confidence import Missed
from slabtrace.analysis.counts import Counts, SiteCounts, by_group
from slabtrace.analysis.kept import Kept, Question, by_process, chosen, every_object
from slabtrace.analysis.lifetime_histogram import LifetimeHistogram
from slabtrace.analysis.losses import Losses
from slabtrace.analysis.object_layout import ObjectLayout, recorded_shapes
from slabtrace.analysis.pairing import Pairer
from slabtrace.analysis.processes import SitesByProcess
from slabtrace.analysis.scan import Accumulator, paired_chunks, scan
from slabtrace.analysis.sites import Sites
from slabtrace.analysis.slab_states import SlabStates, UnseenAllocations
from slabtrace.analysis.slabinfo import Samples, samples_by_cache
from slabtrace.analysis.summary import Lookup, Summary
from slabtrace.analysis.suspects import Suspects
from slabtrace.analysis.symbols import Stacks, Symbols
from slabtrace.analysis.tasks import Tasks
from slabtrace.analysis.timeline import Peaks, Timeline
from slabtrace.trace.batch import EventBatch
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.reader import TraceReader

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.groups import Groups

BUCKETS = 600


class Trace:
    """A recorded trace, read-only; needs no root and no kernel.

    Times in tables are ns since the recording's start, sizes bytes.  Symbols read
    `function+0x1a [module]`.  Names (comm, cache, module, symbol) come from the traced machine
    unescaped: they may hold any character.  Raises TraceError when `path` is no readable trace.

    `progress`, if set, is called while events are read, with the number read so far in this pass.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._reader = TraceReader(path)
        self._summary: Summary | None = None
        self._peaks: Peaks | None = None
        self._timeline: Timeline | None = None
        self._histogram: LifetimeHistogram | None = None
        self._suspects: Suspects | None = None
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

    def events(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield all events in time order, whole: joined with their site, cache and task.

        `columns`: names from analysis.joins.WHOLE_EVENT (default: all).  `ts_ns` is
        CLOCK_MONOTONIC.  Raises ValueError for another name.
        """
        from slabtrace.analysis.joins import WHOLE_EVENT, whole_events

        names = list(columns) if columns is not None else WHOLE_EVENT.names
        unknown = set(names) - set(WHOLE_EVENT.names)
        if unknown:
            raise ValueError(f"events have no column {', '.join(sorted(unknown))}")
        for batch in self._reader.events():
            yield whole_events(batch, self._sites, self._caches, self._tasks, names)

    def lifetimes(self) -> Iterator[pa.RecordBatch]:
        """Yield the objects that were allocated and freed while recording, as analysis.joins.LIFETIME.

        In batches as their ends were met, unordered within a batch.
        """
        from slabtrace.analysis.joins import lifetimes

        for paired in paired_chunks(self._reader.events(), self._pairer()):
            yield lifetimes(paired, self._sites, self._caches)

    def completeness(self) -> Completeness:
        """What was seen, what was lost, and whether anything was."""
        summary = self._scanned()
        return assess(summary, self._slabs, self.manifest, self._losses(), self.damage)

    def reconciliation(self) -> pd.DataFrame:
        """Each cache's change as traced beside the kernel's own count: see analysis.reconcile."""
        from slabtrace.analysis.reconcile import reconcile

        account, losses = self._account(), self._losses()
        return reconcile(account, self._caches, self._inferred(), losses, self.manifest)

    def outstanding(
        self, by: str = "stack", pid: Collection[int] = (), comm: Collection[str] = ()
    ) -> pd.DataFrame:
        """Objects allocated and not freed: see analysis.outstanding.

        `by`: "stack", "call_site", "module", "process" or "cache", always within a cache.
        `pid`, `comm`: only objects, allocated and freed ones alike, that were allocated by one of
        these processes (tgids), by tasks then called as one of these shell patterns says.
        """
        frame, *_ = self._grouped(by, Question(tuple(pid), tuple(comm)))
        return frame.drop(columns="group")

    def leaks(self, by: str = "stack", pid: Collection[int] = (), comm: Collection[str] = ()) -> pd.DataFrame:
        """`outstanding` judged and ranked: class, score, why, growth and more; see analysis.leaks."""
        from slabtrace.analysis.leaks import leaks

        frame, groups, kept = self._grouped(by, Question(tuple(pid), tuple(comm)))
        return leaks(kept, frame, groups)

    def tasks(self) -> pd.DataFrame:
        """Every task by the names it had: ts_ns (since the start; earlier is negative), tid, tgid, comm."""
        import pandas as pd

        columns = self._tasks
        since = columns.ts_ns - self.span_ns[0]
        return pd.DataFrame({"ts_ns": since, "tid": columns.tid, "tgid": columns.tgid, "comm": columns.comm})

    def marks(self) -> pd.DataFrame:
        """The marks set while recording: ts_ns (since its start), text (hostile: escape it)."""
        import pandas as pd

        rows = self._reader.table("marks").to_pylist()
        times = [row["ts_ns"] - self.span_ns[0] for row in rows]
        return pd.DataFrame({"ts_ns": times, "text": [row["text"] for row in rows]})

    def losses(self) -> pd.DataFrame:
        """When events were lost, and of what kind: see analysis.loss_times."""
        from slabtrace.analysis.loss_times import loss_times

        return loss_times(self._reader.table("losses"), self.manifest, self.span_ns[0])

    def caches(self) -> pd.DataFrame:
        """Every slab cache, traced beside the kernel's own count: see analysis.caches."""
        from slabtrace.analysis.caches import cache_table

        _, peaks = self._timelines(BUCKETS)
        return cache_table(self._scanned(), peaks.peak, self._slabinfo, self.reconciliation())

    def stat(self, by: str = "call_site") -> pd.DataFrame:
        """Totals by "call_site" or "cache", as perf kmem's: see analysis.stat."""
        from slabtrace.analysis.stat import stat

        return stat(self._scanned(), self._lookup.symbols, by)

    def usage(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """Each cache's objects and bytes over time, in `buckets` equal parts: see analysis.usage."""
        from slabtrace.analysis.usage import usage

        timeline, _ = self._timelines(buckets)
        page_size = self.manifest.host.page_size
        return usage(timeline, self._caches, self._slabinfo, self.span_ns[0], page_size)

    def call_site_usage(self, top: int = 7, buckets: int = BUCKETS) -> pd.DataFrame:
        """What the `top` call sites held over time, and all others: see analysis.usage."""
        from slabtrace.analysis.usage import call_site_usage

        timeline, _ = self._timelines(buckets)
        return call_site_usage(timeline, self._lookup.symbols, top)

    def size_classes(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """What came and went over time by size of object: see analysis.usage."""
        from slabtrace.analysis.usage import size_classes

        timeline, _ = self._timelines(buckets)
        return size_classes(timeline)

    def lifetime_histogram(self) -> pd.DataFrame:
        """How long objects lived, by cache: see analysis.lifetime_histogram."""
        if self._histogram is None:
            self._histogram = LifetimeHistogram(self._caches)
            self._scan([self._histogram])
        return self._histogram.table()

    def stack_totals(self) -> pd.DataFrame:
        """What each cache and stack allocated, freed and left: see analysis.stack_totals."""
        from slabtrace.analysis.stack_totals import stack_totals

        return stack_totals(self._scanned(), self._lookup)

    def survivors(self, buckets: int = 48) -> pd.DataFrame:
        """When what is outstanding was allocated, by cache and stack: see analysis.survivors."""
        from slabtrace.analysis.survivors import survivors

        return survivors(self._scanned(), self._lookup, self.length_ns, buckets)

    def mismatches(self) -> pd.DataFrame:
        """Double, invalid and wrong-cache frees, with the evidence: see analysis.mismatches."""
        from slabtrace.analysis.mismatch_proof import MismatchProof
        from slabtrace.analysis.mismatches import Findings

        suspects = self._suspects or self._new_suspects()
        if self._suspects is None:
            self._scan([suspects])
        proof = MismatchProof(self.manifest, self._losses(), bool(self.damage))
        findings = Findings(self._sites, self._caches, self._lookup, self._layout, proof)
        return findings.table(suspects, self._reader.events())

    def read_once(self) -> None:
        """Read all events once for usage, leaks and mismatches together, which else read them each."""
        ages, self._suspects = Ages(len(self._sites), *self.span_ns), self._new_suspects()
        summary = self._scan([*self._new_timelines(BUCKETS), ages, self._suspects])
        self._kept = {Question(): every_object(self._sites, self._caches, summary.objects, ages)}

    def _new_suspects(self) -> Suspects:
        named = not self.manifest.coverage.free_traced_after
        return Suspects(self._sites, self._layout, cache_is_named=named)

    def _scanned(self) -> Summary:
        """The summary of all events, made by the first scan."""
        return self._summary or self._scan([])

    def _grouped(self, by: str, question: Question) -> tuple[pd.DataFrame, Groups, Kept]:
        """What is outstanding of the objects asked for, with the groups it is in."""
        from slabtrace.analysis.confidence import prove
        from slabtrace.analysis.groups import group_sites, modules
        from slabtrace.analysis.outstanding import outstanding

        kept = self._kept_objects(question._replace(by_process=by == "process"))
        module = modules(kept.sites, self._lookup.stacks, self._lookup.symbols)
        groups = group_sites(kept.sites, kept.caches, by, module, kept.process)
        damaged = bool(self.damage)
        proof = prove(self._slabs, self._account(), self._missed(), self._losses(), self.manifest, damaged)
        return outstanding(kept, self._lookup, groups, proof), groups, kept

    def _kept_objects(self, question: Question) -> Kept:
        """What became of the objects asked for, by a scan of their own if they were not just asked for."""
        if question not in self._kept:
            self._kept = {question: self._asked(question)}
        return self._kept[question]

    def _asked(self, question: Question) -> Kept:
        if question == Question():
            ages = Ages(len(self._sites), *self.span_ns)
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

    def _timelines(self, buckets: int) -> tuple[Timeline, Peaks]:
        """Usage in `buckets`, and peaks, made by a scan of their own if none has yet."""
        if self._timeline is not None and self._peaks is not None and len(self._timeline.ends_ns) == buckets:
            return self._timeline, self._peaks
        timeline, peaks, histogram = self._new_timelines(buckets)
        self._scan([timeline, peaks, histogram])
        return timeline, peaks

    def _new_timelines(self, buckets: int) -> tuple[Timeline, Peaks, LifetimeHistogram]:
        """What a scan is to fill, remembered."""
        self._timeline = timeline = Timeline(self._sites, self._caches, *self.span_ns, buckets)
        self._peaks, self._histogram = peaks, histogram = Peaks(self._caches), LifetimeHistogram(self._caches)
        return timeline, peaks, histogram

    def _scan(self, accumulators: Sequence[Accumulator]) -> Summary:
        """Read all events once for `accumulators`, and for the summary if that is still missing."""
        pairer = self._pairer()
        if self._summary is not None:
            scan(self._watched_events(), pairer, accumulators)
            return self._summary
        counts = SiteCounts(self._sites)
        unsampled, unseen = Unsampled(self._sites, self._slabinfo), UnseenAllocations(self._slabs)
        live = scan(self._watched_events(), pairer, [*accumulators, counts, unsampled, unseen])
        self._summary = Summary(
            self._sites, self._caches, counts, live, unsampled.events, unseen.by_cache(pairer)
        )
        return self._summary

    def _watched_events(self) -> Iterator[EventBatch]:
        """All events, telling `progress` how many were read."""
        read = 0
        for batch in self._reader.events():
            read += batch.size
            if self.progress is not None:
                self.progress(read)
            yield batch

    def _losses(self) -> Losses:
        summary = self._scanned()
        stored = recovered(summary.sites, summary.counts)
        # a filter leaves out events that a twin saw: they were not missed; duplicates count twice there
        seen = self.manifest.totals.recovered - int(summary.counts.duplicates.sum())
        return Losses(self._reader.table("losses"), self.manifest, max(stored, seen))

    def _missed(self) -> Missed:
        allocations = np.zeros(len(self._caches), np.int64)
        row = dict(zip(self._sites["cache"].tolist(), self._caches.of_site.tolist(), strict=True))
        for cache, count in self._scanned().unseen_allocations.items():
            if cache in row:
                allocations[row[cache]] += count
        return Missed(self._inferred(), allocations)

    def _inferred(self) -> Counts:
        return by_group(self._caches.of_site, self._scanned().counts.inferred, len(self._caches))

    def _account(self) -> Account:
        return take_account(self._scanned(), self._slabinfo, self.manifest.host)

    def _pairer(self, sites: Sites | None = None) -> Pairer:
        late = self.manifest.coverage.free_traced_after
        return Pairer(sites or self._sites, free_traced_after=late, slabs=self._slabs)

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
    def _layout(self) -> ObjectLayout:
        host = self.manifest.host
        shapes = recorded_shapes(self._reader.table("caches"), host)
        return ObjectLayout(shapes, self._sites, host.page_size)

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
