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

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from slabtrace.analysis.counting.sampling import SampledHits
from slabtrace.analysis.grouping.kept import Question, every_object
from slabtrace.analysis.pairing.scan import paired_chunks
from slabtrace.analysis.trust.completeness import Completeness, assess
from slabtrace.scanned import ScannedTrace

if TYPE_CHECKING:
    import pandas as pd


BUCKETS = 600


class Trace(ScannedTrace):
    """A recorded trace, read-only; needs no root and no kernel.

    Times in tables are ns since the recording's start, sizes bytes.  Symbols read
    `function+0x1a [module]`.  Names (comm, cache, module, symbol) come from the traced machine
    unescaped: they may hold any character.  Raises TraceError when `path` is no readable trace.

    `progress`, if set, is called while events are read, with the number read so far in this pass.
    `window_ns`: (begin, end) of the stretch to read, ns since the start: see `window`.
    """

    def window(self, begin: str | int = 0, end: str | int | None = None) -> Trace:
        """The trace from `begin` to `end` as one of its own, as if nothing else had been recorded.

        Each is ns since the recording's start, or the text of a mark (the first of that text, for
        `end` the first one after `begin`); `end` None: the recording's end.  Raises UsageError for
        a mark that does not exist, and where nothing lies between.
        """
        begin_ns, end_ns = self.moments(begin, end)
        return Trace(self._reader.path, (begin_ns, end_ns))

    def moments(self, begin: str | int = 0, end: str | int | None = None) -> tuple[int, int]:
        """The times, ns since the start, that `begin` and `end` mean: see `window`."""
        from slabtrace.analysis.names.moments import moment

        marks = self.marks()
        begin_ns = moment(begin, marks)
        return begin_ns, self.length_ns if end is None else moment(end, marks, begin_ns)

    def events(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield all events in time order, whole: joined with their site, cache and task.

        `columns`: names from analysis.grouping.joins.WHOLE_EVENT (default: all).  `ts_ns` is
        CLOCK_MONOTONIC.  Raises ValueError for another name.
        """
        from slabtrace.analysis.grouping.joins import WHOLE_EVENT, whole_events

        names = list(columns) if columns is not None else WHOLE_EVENT.names
        unknown = set(names) - set(WHOLE_EVENT.names)
        if unknown:
            raise ValueError(f"events have no column {', '.join(sorted(unknown))}")
        for batch in self._reader.events():
            yield whole_events(batch, self._sites, self._caches, self._tasks, names)

    def lifetimes(self) -> Iterator[pa.RecordBatch]:
        """Yield the objects that were allocated and freed while recording, as joins.LIFETIME.

        In batches as their ends were met, unordered within a batch.
        """
        from slabtrace.analysis.grouping.joins import lifetimes

        for paired in paired_chunks(self._reader.events(), self._pairer()):
            yield lifetimes(paired, self._sites, self._caches)

    def completeness(self) -> Completeness:
        """What was seen, what was lost, and whether anything was."""
        summary = self._scanned()
        return assess(summary, self._slabs, self.manifest, self._losses, self.damage)

    def reconciliation(self) -> pd.DataFrame:
        """Each cache's change as traced beside the kernel's own count: see analysis.trust.reconcile."""
        from slabtrace.analysis.trust.reconcile import reconcile

        account, losses = self._account(), self._losses
        return reconcile(account, self._caches, self._inferred(), losses, self.manifest)

    def outstanding(
        self, by: str = "stack", pid: Collection[int] = (), comm: Collection[str] = ()
    ) -> pd.DataFrame:
        """Objects allocated and not freed: see analysis.tables.outstanding.

        `by`: "stack", "call_site", "module", "process" or "cache", always within a cache.
        `pid`, `comm`: only objects, allocated and freed ones alike, that were allocated by one of
        these processes (tgids), by tasks then called as one of these shell patterns says.
        """
        frame, *_ = self._grouped(by, Question(tuple(pid), tuple(comm)))
        return frame.drop(columns="group")

    def leaks(
        self,
        by: str = "stack",
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[str | int, str | int] | None = None,
    ) -> pd.DataFrame:
        """`outstanding` judged and ranked: class, score, why, growth and more; see analysis.leaks.judgement.

        `between`: only what was allocated between two moments (see `window`) and not freed by the
        end of the recording.  Of a sample, with what it stands for: see analysis.counting.sampling.
        """
        from slabtrace.analysis.counting.sampling import with_estimates
        from slabtrace.analysis.leaks.judgement import leaks

        started = self.span_ns[0]
        times = None if between is None else self.moments(*between)
        absolute = None if times is None else (started + times[0], started + times[1])
        frame, groups, kept = self._grouped(by, Question(tuple(pid), tuple(comm), absolute))
        one_in = self.manifest.sampled_one_in
        judged = leaks(kept, frame, groups)
        return with_estimates(judged, one_in) if one_in > 1 else judged

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
        """When events were lost, and of what kind: see analysis.trust.loss_times."""
        from slabtrace.analysis.trust.loss_times import loss_times

        return loss_times(self._ledger, self.manifest, self.span_ns[0])

    def caches(self) -> pd.DataFrame:
        """Every slab cache, traced beside the kernel's own count: see analysis.tables.caches."""
        from slabtrace.analysis.tables.caches import cache_table

        _, peaks = self._timelines(BUCKETS)
        return cache_table(self._scanned(), peaks.peak, self._slabinfo, self.reconciliation())

    def stat(self, by: str = "call_site") -> pd.DataFrame:
        """Totals by "call_site", "cache" or "ptr", as perf kmem's: see analysis.tables.stat and by_pointer.

        Of a sample, with hits_estimate and hits_error: see analysis.counting.sampling.
        """
        from slabtrace.analysis.counting.by_pointer import Pointers
        from slabtrace.analysis.tables.stat import stat

        if by == "ptr":
            pointers = Pointers(self._sites)
            self._scan([pointers])
            return pointers.table()
        frame = stat(self._scanned(), self._lookup.symbols, by)
        return self._with_estimated_hits(frame, by) if self.manifest.sampled_one_in > 1 else frame

    def _with_estimated_hits(self, frame: pd.DataFrame, by: str) -> pd.DataFrame:
        one_in, hits = self.manifest.sampled_one_in, SampledHits(len(self._sites))
        self._scan([hits])
        names = np.array(self._caches.names, object)
        key = self._sites["call_site"] if by == "call_site" else names[self._caches.of_site]
        errors = hits.errors(one_in, key)
        error = [errors[each] for each in frame[by].tolist()]
        return frame.assign(hits_estimate=frame["hits"] * one_in, hits_error=error)

    def usage(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """Each cache's objects and bytes over time, in `buckets` equal parts: see analysis.counting.usage."""
        from slabtrace.analysis.counting.usage import usage

        timeline, _ = self._timelines(buckets)
        page_size = self.manifest.host.page_size
        return usage(timeline, self._caches, self._slabinfo, self.span_ns[0], page_size)

    def call_site_usage(self, top: int = 7, buckets: int = BUCKETS) -> pd.DataFrame:
        """What the `top` call sites held over time, and all others: see analysis.counting.usage."""
        from slabtrace.analysis.counting.usage import call_site_usage

        timeline, _ = self._timelines(buckets)
        return call_site_usage(timeline, self._lookup.symbols, top)

    def peaks(self) -> pd.DataFrame:
        """When each cache had the most live objects, and who had allocated them: analysis.counting.peaks."""
        from slabtrace.analysis.counting.peaks import peaks

        _, found = self._timelines(BUCKETS)
        return peaks(found, self._sites, self._caches, self._lookup.symbols, self.span_ns[0])

    def lifetime_table(self, by: str = "call_site") -> pd.DataFrame:
        """How long objects lived, by "stack", "call_site", "module" or "cache": see that module."""
        from slabtrace.analysis.grouping.groups import group_sites, modules
        from slabtrace.analysis.tables.lifetime_table import Temporaries, lifetime_table

        temporaries, ages = Temporaries(len(self._sites)), self._new_ages()
        kept = every_object(self._sites, self._caches, self._scan([temporaries, ages]).objects, ages)
        module = modules(self._sites, self._lookup.stacks, self._lookup.symbols)
        groups = group_sites(self._sites, self._caches, by, module)
        return lifetime_table(kept, temporaries.objects, self._lookup, groups)

    def size_classes(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """What came and went over time by size of object: see analysis.counting.usage."""
        from slabtrace.analysis.counting.usage import size_classes

        timeline, _ = self._timelines(buckets)
        return size_classes(timeline)

    def lifetime_histogram(self) -> pd.DataFrame:
        """How long objects lived, by cache: see analysis.counting.lifetime_histogram."""
        if self._histogram is None:
            self._histogram = self._new_histogram()
            self._scan([self._histogram])
        return self._histogram.table()

    def stack_totals(self) -> pd.DataFrame:
        """What each cache and stack allocated, freed and left: see analysis.tables.stack_totals."""
        from slabtrace.analysis.tables.stack_totals import stack_totals

        return stack_totals(self._scanned(), self._lookup)

    def arrivals(self, buckets: int = 48) -> pd.DataFrame:
        """When what is outstanding was allocated, by cache and stack: see analysis.tables.arrivals."""
        from slabtrace.analysis.tables.arrivals import arrivals

        return arrivals(self._scanned(), self._lookup, self.length_ns, buckets)

    survivors = arrivals  # an earlier name

    def mismatches(self) -> pd.DataFrame:
        """Double, invalid and wrong-cache frees, with the evidence: see analysis.mismatches.findings."""
        from slabtrace.analysis.mismatches.findings import Findings
        from slabtrace.analysis.mismatches.proof import MismatchProof

        wrong_frees = self._wrong_frees or self._new_wrong_frees()
        if self._wrong_frees is None:
            self._scan([wrong_frees])
        proof = MismatchProof(self.manifest, self._losses, self._known_until_ns())
        preemptible = self.manifest.coverage.programs_preemptible
        findings = Findings(self._sites, self._caches, self._lookup, self._layout, proof, preemptible)
        return findings.table(wrong_frees, self._reader.events())

    def read_once(self) -> None:
        """Read all events once for usage, leaks and mismatches together, which else read them each."""
        ages, self._wrong_frees = self._new_ages(), self._new_wrong_frees()
        summary = self._scan([*self._new_timelines(BUCKETS), ages, self._wrong_frees])
        self._kept = {Question(): every_object(self._sites, self._caches, summary.objects, ages)}
