# SPDX-License-Identifier: Apache-2.0
"""How many events the trace may lack, and since when, from the loss ledger (losses.arrow).

Dropped events (ring full, programs nested too deep and so on) and late ones are counted one by one.  Skipped
programs are harder: the kernel's recursion guard counts how often it skipped a program, and an event is lost
only if its first program and its twin were both skipped.  Two numbers bound that, and the smaller one holds:
how often the twin was skipped; and how often the first program was, less the events only the twin recorded.
A program without a twin loses every event for which it was skipped.  Programs that record neither
allocations nor frees (HARMLESS) lose none.  A lost event can only have freed an object allocated before it,
so `since` gives the losses at a time or later.  Why the bounds hold: docs/analysis.md.

Example: the ledger of ten seconds; the trace has 4 allocations by kmalloc that only the twin recorded.

    seconds  kind       program       count  what it adds
       2-3   RING_FULL                   10  10 dropped
       5-6   RECURSION  kmalloc           5  5 - 4 = 1: at most one of these is lost
       5-6   RECURSION  kmalloc_twin      2  2: no more than two are; the smaller number, 1, holds
       6-7   RECURSION  mm_page_free      8  nothing: it records no event
       8-9   LATE                         3  3 stored out of order
    total: 10 + 1 + 3 = 14;  since second 1: 14, since 5: 4, since 7.5: 3, since 11: 0
    between seconds 4.5 and 7: 1 + 3 = 4, for late events may be older than their row
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.recovered import Recovered
from slabtrace.analysis.statistics.sample import most_in_sample
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest

TWIN = "_twin"  # how the names of twin programs end
HARMLESS = ("mm_page_free", "task_newtask", "task_rename", "on_cache_end")  # record no allocation, no free
# Programs that record frees alone, or allocations alone.  Any other program may have missed either.
FREE_PROGRAMS = (
    "kfree",
    "kmem_cache_free",
    "percpu_free_percpu",
    "pages_free",
    "vfree_area",
    "on_kmem_cache_free_bulk",
    "on_kvfree_call_rcu",
    "on_kfree_call_rcu_nolock",
    "on_kfree_nolock",
    "on_wrong_cache_free",
)
ALLOC_PROGRAMS = (
    "kmalloc",
    "kmem_cache_alloc",
    "percpu_alloc_percpu",
    "pages_alloc",
    "vmalloc_area",
    "on_kmem_cache_alloc_bulk",
    "on_kmalloc_nolock",
)
NO_DROPS = (
    Loss.RECURSION,
    Loss.STACK,
    Loss.LATE,
    Loss.FOREIGN,
)  # all other kinds are events that are not in the trace
MOST_TWINS = 64  # twins looked at (recorders have ten): misses of programs beyond count as lost
SLACK_NS = 1_000_000_000  # a row may end so much later: counters are read one by one, after the clock


class Of(Enum):
    """Which lost events count.  Values: the programs whose events do not."""

    ANY = frozenset[str]()  # no tuple: Python 3.11.2 makes something else of an empty one
    ALLOCATIONS = frozenset(FREE_PROGRAMS)
    FREES = frozenset(ALLOC_PROGRAMS)


class Losses:
    """Lost events by kind and time.  Losses that only the manifest has may have happened at any time.

    Totals: `dropped` (ring full, nested too deep, and kinds that are not known here);
    `recursion_missed`: how often first programs were skipped; `skipped`: how many events can be lost by
    that, at most; `stacks_lost`; `late`; `foreign`: lost by another tool, as its recording says.
    """

    def __init__(self, table: pa.Table, manifest: Manifest, recovered: Recovered | None = None) -> None:
        kind, count = plain(table.column("kind")), plain(table.column("count")).astype(np.int64)
        times, totals = _times(table), manifest.totals
        self._skipped = _Skipped(table, manifest, recovered or Recovered())
        drops = ~np.isin(kind, NO_DROPS)
        foreign = kind == Loss.FOREIGN
        others = _Since(*times, count, drops | foreign | (kind == Loss.LATE))
        self.recursion_missed, self.skipped = self._skipped.missed, self._skipped.total
        self.stacks_lost = max(int(count[kind == Loss.STACK].sum()), totals.stacks_lost)
        self.late = max(int(count[kind == Loss.LATE].sum()), totals.late)
        self.dropped = max(int(count[drops].sum()), totals.dropped)
        self.foreign = int(count[foreign].sum())
        self._untimed = self.dropped + self.late + self.foreign - others.total
        self._others, self._one_in = others, manifest.sampled_one_in

    @property
    def total(self) -> int:
        """All events that are lost, at most, or stored out of order."""
        return self.dropped + self.skipped + self.late + self.foreign

    @property
    def frees(self) -> int:
        """Addresses of which frees were lost, at most."""
        return int(self.since(np.array([np.iinfo(np.int64).min]), Of.FREES)[0])

    def since(self, ts_ns: NDArray[np.int64], of: Of = Of.ANY) -> Counts:
        """Addresses of which events were lost, or stored out of order, at each time or later, at most: (n,).

        The kernel skips programs for addresses outside the sample, too; all other losses are of the sample.
        """
        skipped = most_in_sample(self._skipped.since(ts_ns, of=of), self._one_in)
        return self._others.at(ts_ns) + self._untimed + skipped

    def reallocating(self, ts_ns: NDArray[np.int64]) -> Counts:
        """How often, at each time or later, lost events can have freed an object and allocated its address
        again, at most: each time takes two, a free and an allocation.  Shape (n,)."""
        either = np.minimum(self.since(ts_ns, Of.FREES), self.since(ts_ns, Of.ALLOCATIONS))
        return np.minimum(self.since(ts_ns) // 2, either)

    def between(self, begin_ns: int, end_ns: int, of: Of = Of.ANY) -> int:
        """Events that can be lost, or stored out of order, between two times, at most."""
        begin, end = np.array([begin_ns]), np.array([end_ns])
        found = self._others.at(begin, end) + self._untimed + self._skipped.since(begin, end, of)
        return int(found[0])


class _Since:
    """The sum of counts at a time or later: of those `rows` whose interval ends after it."""

    def __init__(
        self, begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64], count: Counts, rows: NDArray[np.bool_]
    ) -> None:
        self._end_ns, self._left = _summed(end_ns[rows], count[rows])
        self._begin_ns, self._later = _summed(begin_ns[rows], count[rows])
        self.total = int(self._left[0])

    def at(self, ts_ns: NDArray[np.int64], until_ns: NDArray[np.int64] | None = None) -> Counts:
        """The sums, without the rows that begin after `until_ns`, if it is given: shape (n,)."""
        left: Counts = self._left[np.searchsorted(self._end_ns, ts_ns, side="right")]
        if until_ns is None:
            return left
        later: Counts = self._later[np.searchsorted(self._begin_ns, until_ns, side="right")]
        return left - later


def _summed(ts_ns: NDArray[np.int64], count: Counts) -> tuple[NDArray[np.int64], Counts]:
    """(times ascending, the sum of the counts from each of them on), the sum of none at the end."""
    order = np.argsort(ts_ns)
    return ts_ns[order], np.append(np.cumsum(count[order][::-1])[::-1], 0)


def _times(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each row of the ledger begins and ends: its losses were in between.

    A late event is counted when it is stored, so it may be older than its row.
    """
    late = plain(table.column("kind")) == Loss.LATE
    begin = np.where(late, np.iinfo(np.int64).min, plain(table.column("begin_ns")))
    return begin, plain(table.column("end_ns")) + SLACK_NS


class _Rows(NamedTuple):
    """The ledger's rows about skipped programs, without HARMLESS ones.

    `name`: the program, without _twin and _node (kmalloc_node counts as kmalloc).  `twin`: whether it is a
    twin.  `twinned`: whether it is a twin or has one.
    """

    begin_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    missed: Counts
    name: NDArray[np.object_]
    twin: NDArray[np.bool_]
    twinned: NDArray[np.bool_]

    def since(self, rows: NDArray[np.bool_]) -> _Since:
        return _Since(self.begin_ns, self.end_ns, self.missed, rows)


class _Skipped:
    """What the recursion guard skipped.

    `missed`: how often first programs were skipped.  `total`: events lost by that, at most.
    """

    def __init__(self, table: pa.Table, manifest: Manifest, recovered: Recovered) -> None:
        rows = _skip_rows(table, manifest)
        names = rows.name.astype(str)
        self._alone = {of: rows.since(~rows.twinned & ~np.isin(names, sorted(of.value))) for of in Of}
        self._pairs = [
            _WithTwin(
                name=name,
                first=rows.since(~rows.twin & (rows.name == name)),
                twin=rows.since(rows.twin & (rows.name == name)),
                stored=recovered.stored.get(name, 0),
                repeated=recovered.repeated.get(name, 0),
            )
            for name in sorted({*rows.name[rows.twinned]})
        ]
        first = sum(pair.first.total for pair in self._pairs)
        self._untimed = max(manifest.totals.recursion_missed - _misses_in(table), 0)
        self._most = max(first + self._untimed - recovered.total, 0)
        self.missed = self._alone[Of.ANY].total + first + self._untimed
        self.total = int(self.since(np.array([np.iinfo(np.int64).min]))[0])

    def since(
        self, ts_ns: NDArray[np.int64], until_ns: NDArray[np.int64] | None = None, of: Of = Of.ANY
    ) -> Counts:
        """Events lost at each time or later, and not after `until_ns`, at most: shape (n,)."""
        by_pairs = sum(
            (pair.lost(ts_ns, until_ns, of) for pair in self._pairs), np.zeros(len(ts_ns), np.int64)
        )
        return self._alone[of].at(ts_ns, until_ns) + np.minimum(by_pairs + self._untimed, self._most)


class _WithTwin(NamedTuple):
    """How often a program (`first`) and its `twin` were skipped.

    `stored`: events in the trace that only the twin recorded.  `repeated`: allocations by the twin that were
    taken for repetitions (duplicates.py).
    """

    name: str
    first: _Since
    twin: _Since
    stored: int
    repeated: int

    def lost(self, ts_ns: NDArray[np.int64], until_ns: NDArray[np.int64] | None, of: Of) -> Counts:
        """Events lost at each time or later, and not after `until_ns`, at most: shape (n,).

        A record taken for a repetition may be another allocation, of which the first program was skipped.
        Then the free between the two was missed, so as many count as lost as the first program missed.
        """
        counts = self.name not in of.value
        lost = self.twin.at(ts_ns, until_ns) * counts
        if counts or of is Of.FREES:
            lost = lost + np.minimum(self.first.at(ts_ns, until_ns), self.repeated)
        return np.minimum(lost, max(self.first.total - self.stored, 0))


def _skip_rows(table: pa.Table, manifest: Manifest) -> _Rows:
    table = table.filter(pc.equal(table.column("kind"), int(Loss.RECURSION)))
    table = table.filter(pc.invert(pc.is_in(table.column("program"), pa.array(HARMLESS))))
    programs = table.column("program").to_pylist()
    twin = np.array([name.endswith(TWIN) for name in programs], np.bool_)
    stem = [name.removesuffix(TWIN) for name in programs]
    twins = {*manifest.coverage.twins, *(name for name in programs if name.endswith(TWIN))}
    names = [name.removesuffix("_node") for name in stem]
    twinned = np.array([name + TWIN in twins for name in stem], np.bool_)
    paired = sorted({name for name, has_twin in zip(names, twinned.tolist(), strict=True) if has_twin})
    return _Rows(
        *_times(table),
        plain(table.column("count")).astype(np.int64),
        np.array(names, dtype=object),
        twin,
        twinned & np.isin(np.array(names, str), paired[:MOST_TWINS]),
    )


def _misses_in(table: pa.Table) -> int:
    """How often first programs were skipped, HARMLESS ones included, by the ledger."""
    rows = zip(*(table.column(name).to_pylist() for name in ("kind", "program", "count")), strict=True)
    return sum(n for kind, name, n in rows if kind == Loss.RECURSION and not name.endswith(TWIN))
