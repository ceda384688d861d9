# SPDX-License-Identifier: Apache-2.0
"""The Python interface to a recorded trace: `slabtrace.open(path)` gives a Trace.

    trace = slabtrace.open("boot.slab")
    trace.leaks().head()
    help(trace.leaks)  # lists the columns

Tables are pandas DataFrames; what may not fit into memory comes as an iterator of Arrow record batches.
The first table asked for reads all events once, and the others are made of its result (`caches` and
`usage` need what `stat` and `leaks` do not: asked for first, they spare a pass).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

import slabtrace.columns as tables
from slabtrace.analysis.grouping.kept import Question
from slabtrace.analysis.grouping.whose import KINDS
from slabtrace.analysis.names.frames import comparable_cache
from slabtrace.analysis.opened.held import Held
from slabtrace.analysis.opened.over_time import BUCKETS, OverTime
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.opened.vouched import Vouched
from slabtrace.analysis.pairing.scan import paired_chunks
from slabtrace.analysis.trust.completeness import Completeness, assess
from slabtrace.analysis.trust.filters import filtered
from slabtrace.columns.table import documented
from slabtrace.trace.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.leaks.verdict import Verdict
    from slabtrace.analysis.opened.judging import Judging
    from slabtrace.lines.finder import LineFinder

OUTSTANDING_BY = ("stack", "call_site", "module", *KINDS, "work", "cache")


class Trace(Held, OverTime):
    """A recorded trace, read-only; needs no root and no kernel.

    Times in tables are ns since the recording's start, sizes bytes.  Symbols read
    `function+0x1a [module]`.  Names (comm, cache, module, symbol) come from the traced machine
    unescaped: they may hold any character.  Raises TraceError when `path` is no readable trace.

    `window_ns`: (begin, end) of the stretch to read, ns since the start: see `window`.  `sum_copies`: see
    `summed`.

    It is made of three parts: what was recorded (side tables), the passes over the events, and what the
    trace can vouch for (losses, the kernel's own count).  Each method makes one table of them.
    """

    def __init__(
        self, path: str | os.PathLike[str], window_ns: tuple[int, int] | None = None, sum_copies: bool = False
    ) -> None:
        self._recorded = Recorded(path, window_ns, sum_copies)
        self._window_ns = window_ns
        self._passes = Passes(self._recorded)
        self._vouched = Vouched(self._recorded, self._passes)

    @cached_property
    def _judging(self) -> Judging:
        from slabtrace.analysis.opened.judging import Judging

        return Judging(self._recorded, self._passes, self._vouched)

    # ---- the recording ---------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What was recorded, where, when and how."""
        return self._recorded.manifest

    @property
    def damage(self) -> list[str]:
        """Sentences on what is missing or cut, empty for a whole trace; complete once events were read."""
        return self._recorded.reader.damage

    @property
    def span_ns(self) -> tuple[int, int]:
        """Start and end of the recording, CLOCK_MONOTONIC ns."""
        return self._recorded.span_ns

    @property
    def length_ns(self) -> int:
        """How long the recording lasted."""
        begin, end = self.span_ns
        return end - begin

    @property
    def progress(self) -> Callable[[int], None] | None:
        """If set, called while events are read, with the number read so far in this pass."""
        return self._recorded.progress

    @progress.setter
    def progress(self, progress: Callable[[int], None] | None) -> None:
        self._recorded.progress = progress

    def window(self, begin: str | int = 0, end: str | int | None = None) -> Trace:
        """The trace from `begin` to `end` as one of its own, as if nothing else had been recorded.

        Each is ns since this trace's start, or the text of a mark (the first of that text, for
        `end` the first one after `begin`); `end` None: this trace's end.  A window of a window never
        reaches beyond it.  `progress` stays set.  Raises UsageError for a mark that does not exist, and
        where nothing lies between.
        """
        begin_ns, end_ns = self.moments(begin, end)
        before = self.span_ns[0] - self.manifest.started_ns  # what an outer window left out
        inside = before + max(begin_ns, 0), before + min(end_ns, self.length_ns)
        window = Trace(self._recorded.reader.path, inside, self._recorded.sums_copies)
        window.progress = self.progress
        return window

    def summed(self) -> Trace:
        """The trace with the copies of each kmalloc cache as one cache, for tables by cache.

        Copies are kmalloc-rnd-NN-SIZE and kmalloc-part-NN-SIZE, which become kmalloc-SIZE.  It is the trace
        itself if it has none, or if --cache chose caches while recording.
        """
        copied = any(comparable_cache(name) != name for name in self.cache_names())
        if not copied or filtered(self.manifest, ("cache",)):
            return self
        summed = Trace(self._recorded.reader.path, self._window_ns, sum_copies=True)
        summed.progress = self.progress
        return summed

    def copies(self) -> dict[str, list[str]]:
        """Of a `summed` trace: the caches that stand for several, and the names of these."""
        caches = self._recorded.caches
        return {name: list(each) for name, each in zip(caches.names, caches.copies, strict=True) if each}

    def moments(self, begin: str | int = 0, end: str | int | None = None) -> tuple[int, int]:
        """The times, ns since the start, that `begin` and `end` mean: see `window`."""
        from slabtrace.analysis.names.moments import moment

        marks = self.marks()
        begin_ns = moment(begin, marks)
        return begin_ns, self.length_ns if end is None else moment(end, marks, begin_ns)

    @documented(tables.TASKS)
    def tasks(self) -> pd.DataFrame:
        """Every task by the names it had."""
        from slabtrace.analysis.tables.recording import task_table

        return task_table(self._recorded.tasks, self.span_ns[0])

    @documented(tables.MARKS)
    def marks(self) -> pd.DataFrame:
        """The marks set while recording."""
        from slabtrace.analysis.tables.recording import mark_table

        return mark_table(self._recorded.marks, self.span_ns[0])

    @documented(tables.MODULES)
    def modules(self) -> pd.DataFrame:
        """The kernel and its modules, as they were loaded."""
        from slabtrace.analysis.tables.recording import module_table

        return module_table(self._recorded.modules, self.span_ns[0])

    def symbol(self, address: int) -> str:
        """The name of a call site or frame: function+0x1a [module], or the address in hex."""
        return self._recorded.lookup.symbols.name(address)

    def line_finder(self, *places: str, fetching: Callable[[str], None] | None = None) -> LineFinder:
        """What finds the source lines of symbols: see LineFinder.for_trace (slabtrace/lines/finder.py)."""
        from slabtrace.lines.finder import LineFinder

        return LineFinder.for_trace(self._recorded, places, fetching)

    # ---- events and objects, one by one ----------------------------------------------------------------

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
        recorded = self._recorded
        for batch in recorded.reader.events():
            yield whole_events(batch, recorded.sites, recorded.caches, recorded.tasks, names)

    def lifetimes(self) -> Iterator[pa.RecordBatch]:
        """Yield the objects that were allocated and freed while recording: see joins.LIFETIME.

        In batches as their ends were met, unordered within a batch.
        """
        from slabtrace.analysis.grouping.joins import lifetimes

        recorded = self._recorded
        for paired in paired_chunks(recorded.reader.events(), recorded.pairer()):
            yield lifetimes(paired, recorded.sites, recorded.caches)

    # ---- what the trace can vouch for ------------------------------------------------------------------

    def completeness(self) -> Completeness:
        """What was seen, what was lost, and whether anything was."""
        summary = self._passes.summary
        vouched = self._vouched
        return assess(summary, self._recorded.slabs, self.manifest, vouched.losses, vouched.damage)

    @documented(tables.RECONCILIATION)
    def reconciliation(self) -> pd.DataFrame:
        """Each cache's change as traced beside the kernel's own count."""
        from slabtrace.analysis.trust.reconcile import reconcile

        vouched = self._vouched
        return reconcile(
            vouched.account, self._recorded.caches, vouched.inferred, vouched.losses, self.manifest
        )

    @documented(tables.LOSSES)
    def losses(self) -> pd.DataFrame:
        """When events were lost, and of what kind."""
        from slabtrace.analysis.trust.loss_times import loss_times

        return loss_times(self._recorded.ledger, self.manifest, self.span_ns[0])

    # ---- what is outstanding, and what contradicts itself ----------------------------------------------

    @documented(tables.OUTSTANDING)
    def outstanding(
        self,
        by: str = "stack",
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """Objects allocated and not freed, in groups.

        `by`: "stack", "call_site", "module", "process", "command", "cgroup", "unit", "container",
        "charged" (the memory cgroup that is charged), "work" (context) or "cache", always within a cache.
        `pid`, `comm`, `cgroup`: only objects, allocated and freed ones alike, that were allocated by one of
        these processes (tgids), by tasks then called as one of these shell patterns says, by processes then
        in a cgroup whose path one of these patterns matches, or in one below it.
        """
        _check_by(by, OUTSTANDING_BY)
        question = self._question(pid, comm, cgroup=cgroup)._replace(by_whom=by if by in KINDS else "")
        frame, *_ = self._judging.grouped(by, question)
        return frame.drop(columns="group")

    @documented(tables.LEAKS)
    def leaks(
        self,
        by: str = "stack",
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[str | int, str | int] | None = None,
        sum_copies: bool = False,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """`outstanding` judged and ranked: what leaks, how fast, and why it is called so.

        `between`: only what was allocated between two moments (see `window`) and not freed by the
        end of the recording.  `sum_copies`: as in `summed`, but not by stack; the findings stay as they are.
        The other parameters are those of `outstanding`.
        """
        _check_by(by, OUTSTANDING_BY)
        question = self._question(pid, comm, between, cgroup)
        return self._with_estimates(self._judging.groups(by, question, sum_copies))

    @documented(tables.FINDINGS)
    def findings(
        self,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[str | int, str | int] | None = None,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """What leaks, and whatever else is outstanding: owners with what hangs on them, ranked.

        The parameters are those of `leaks`.
        """
        return self._with_estimates(self._judging.findings(self._question(pid, comm, between, cgroup)))

    def verdict(
        self,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[str | int, str | int] | None = None,
        cgroup: Collection[str] = (),
    ) -> Verdict:
        """What was found, and the least leak that would have been.  The parameters are those of `leaks`."""
        return self._judging.verdict(self._question(pid, comm, between, cgroup))

    @documented(tables.MISMATCHES)
    def mismatches(self) -> pd.DataFrame:
        """Double, invalid and wrong-cache frees, with the evidence; also those that it does not support."""
        from slabtrace.analysis.mismatches.findings import Findings
        from slabtrace.analysis.mismatches.proof import MismatchProof

        recorded, wrong_frees = self._recorded, self._passes.wrong_frees()
        proof = MismatchProof(self.manifest, self._vouched.losses, self._vouched.known_until_ns)
        preemptible = self.manifest.coverage.programs_preemptible
        side_tables = recorded.sites, recorded.caches, recorded.lookup, recorded.layout
        findings = Findings(*side_tables, proof, recorded.slabs, preemptible)
        return findings.table(wrong_frees, recorded.reader.events())

    # ---- totals ----------------------------------------------------------------------------------------

    @documented(tables.CACHES)
    def caches(self) -> pd.DataFrame:
        """Every slab cache, traced beside the kernel's own count, most allocations first.

        `cache_names` has their names alone, without a pass over the events.
        """
        from slabtrace.analysis.tables.caches import cache_table

        _, peaks = self._passes.timelines(BUCKETS)
        slabinfo = self._recorded.slabinfo
        return cache_table(self._passes.summary, peaks.peak, slabinfo, self.reconciliation())

    def cache_names(self) -> dict[str, list[str]]:
        """Every slab cache and the names merged into it; reads no event."""
        return self._recorded.caches.known(self._recorded.sites)

    @documented(tables.STAT)
    def stat(self, by: str = "call_site") -> pd.DataFrame:
        """Totals by "call_site", "cache", "ptr" or "pages", by perf kmem's names, most bytes_alloc first.

        By "ptr" (address) the columns are those of POINTERS, by "pages" of PAGE_STAT (docs/tables.md).
        """
        from slabtrace.analysis.counting.by_pointer import Pointers
        from slabtrace.analysis.tables import page_stat
        from slabtrace.analysis.tables import stat as stats

        _check_by(by, ("call_site", "cache", "ptr", "pages"))
        if by == "pages":
            return page_stat.page_stat(self._passes.summary, self._recorded.lookup.symbols)
        if by == "ptr":
            pointers = Pointers(self._recorded.sites)
            self._passes.run([pointers])
            return pointers.table()
        frame = stats.stat(self._passes.summary, self._recorded.lookup.symbols, by)
        return self._passes.with_estimated_hits(frame, by) if self.manifest.sampled_one_in > 1 else frame

    @documented(tables.STACK_TOTALS)
    def stack_totals(self) -> pd.DataFrame:
        """What each cache and stack allocated, freed and left; what flame graphs are made of."""
        from slabtrace.analysis.tables.stack_totals import stack_totals

        return stack_totals(self._passes.summary, self._recorded.lookup)

    @documented(tables.LIFETIMES)
    def lifetime_table(self, by: str = "call_site") -> pd.DataFrame:
        """How long objects lived, by "stack", "call_site", "module" or "cache"."""
        _check_by(by, ("stack", "call_site", "module", "cache"))
        from slabtrace.analysis.opened.lived import lived

        return lived(self._recorded, self._passes, by)

    @documented(tables.LIFETIME_HISTOGRAM)
    def lifetime_histogram(self) -> pd.DataFrame:
        """How long objects lived, by cache, in ranges of half a power of two."""
        return self._passes.histogram().table()

    # ---- passes ----------------------------------------------------------------------------------------

    def read_once(self) -> None:
        """Read all events once for usage, leaks and mismatches together, which else read them each."""
        self._passes.run_once(BUCKETS)

    def _question(
        self,
        pid: Collection[int],
        comm: Collection[str],
        between: tuple[str | int, str | int] | None = None,
        cgroup: Collection[str] = (),
    ) -> Question:
        started = self.span_ns[0]
        times = None if between is None else self.moments(*between)
        absolute = None if times is None else (started + times[0], started + times[1])
        return Question(tuple(pid), tuple(comm), absolute, cgroups=tuple(cgroup))

    def _with_estimates(self, frame: pd.DataFrame) -> pd.DataFrame:
        from slabtrace.analysis.counting.sampling import with_estimates

        one_in = self.manifest.sampled_one_in
        return with_estimates(frame, one_in) if one_in > 1 else frame


def _check_by(by: str, known: Sequence[str]) -> None:
    """Raise ValueError for a grouping that a table does not have, before any event is read."""
    if by not in known:
        raise ValueError(f"by is one of {', '.join(known)}, not {by!r}")
