# SPDX-License-Identifier: Apache-2.0
"""The loss ledger read back: how many events are not in the trace, or not where they belong, and since when.

Recursion: an event is lost only if its program and the program's twin were both skipped for it, so
that where a twin was attached its misses bound the losses; so does what the first program missed
less what its twin recovered (which leaves out kfree(NULL), recovered but not recorded).  An allocation
that was taken for a repetition (duplicates.py) may be one that its twin recovered: as many count as
skipped, unless what the first program missed is accounted for without them.  What a program without a
twin missed is lost.  Skipped programs that record no allocation and no free lose none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.recovered import Recovered
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest

TWIN = "_twin"  # how the names of twin programs end
HARMLESS = ("mm_page_free", "task_newtask", "task_rename")  # lose a proof, or a name, but no event
MOST_PAIRS = 64  # of a program and its twin; recorders have ten, and what is beyond counts as lost
SLACK_NS = 1_000_000_000  # counters are read after the clock, one by one: a row may end that much later


class Losses:
    """Lost events by kind and time.  A loss that only the manifest knows may have been at any time.

    `dropped` (ring full, or nested too deep), `recursion_missed` (by first programs), `skipped`
    (those of them that no twin recovered, at most), `stacks_lost`, `late`: totals.
    """

    def __init__(self, table: pa.Table, manifest: Manifest, recovered: Recovered | None = None) -> None:
        kind, count = plain(table.column("kind")), plain(table.column("count")).astype(np.int64)
        end, totals = plain(table.column("end_ns")) + SLACK_NS, manifest.totals
        self._skipped = _Skipped(table, manifest, recovered or Recovered())
        drops = (kind == Loss.RING_FULL) | (kind == Loss.NESTING)
        others = _Since(end, count, drops | (kind == Loss.LATE))
        self.recursion_missed, self.skipped = self._skipped.missed, self._skipped.total
        self.stacks_lost = max(int(count[kind == Loss.STACK].sum()), totals.stacks_lost)
        self.late = max(int(count[kind == Loss.LATE].sum()), totals.late)
        self.dropped = max(int(count[drops].sum()), totals.dropped)
        self._untimed = self.dropped + self.late - others.total
        self._others = others

    @property
    def total(self) -> int:
        """All events lost or misplaced."""
        return self.dropped + self.skipped + self.late

    def since(self, ts_ns: NDArray[np.int64]) -> Counts:
        """The most events that can have been lost or misplaced at each time or later, shape (n,)."""
        return self._others.at(ts_ns) + self._untimed + self._skipped.since(ts_ns)


class _Since:
    """Sums of the counts, of some rows, whose interval ends after a time."""

    def __init__(self, end_ns: NDArray[np.int64], count: Counts, rows: NDArray[np.bool_]) -> None:
        end_ns, count = end_ns[rows], count[rows]
        order = np.argsort(end_ns)
        self._end_ns = end_ns[order]
        self._left = np.append(np.cumsum(count[order][::-1])[::-1], 0)
        self.total = int(self._left[0])

    def at(self, ts_ns: NDArray[np.int64]) -> Counts:
        left: Counts = self._left[np.searchsorted(self._end_ns, ts_ns, side="right")]
        return left


class _Rows(NamedTuple):
    """The ledger's rows on skipped programs, the harmless left out.

    `name`: of the program, or whose twin it is (`twin`); `_node` variants are one with the others.
    `twinned`: whether it has a twin, or is one.
    """

    end_ns: NDArray[np.int64]
    missed: Counts
    name: NDArray[np.object_]
    twin: NDArray[np.bool_]
    twinned: NDArray[np.bool_]

    def since(self, rows: NDArray[np.bool_]) -> _Since:
        return _Since(self.end_ns, self.missed, rows)


class _Skipped:
    """What the recursion guard skipped: `missed` by first programs; `total`, not recovered, at most."""

    def __init__(self, table: pa.Table, manifest: Manifest, recovered: Recovered) -> None:
        rows = _skip_rows(table, manifest)
        self._alone = rows.since(~rows.twinned)
        self._pairs = [
            _Pair(
                own=rows.since(~rows.twin & (rows.name == name)),
                twin=rows.since(rows.twin & (rows.name == name)),
                stored=recovered.stored.get(name, 0),
                repeated=recovered.repeated.get(name, 0),
            )
            for name in sorted({*rows.name[rows.twinned]})
        ]
        own = sum(pair.own.total for pair in self._pairs)
        self._untimed = max(manifest.totals.recursion_missed - _told(table), 0)
        self._most = max(own + self._untimed - recovered.total, 0)
        self.missed = self._alone.total + own + self._untimed
        self.total = int(self.since(np.array([np.iinfo(np.int64).min]))[0])

    def since(self, ts_ns: NDArray[np.int64]) -> Counts:
        """The most at each time or later, shape (n,)."""
        by_pairs = sum((pair.lost(ts_ns) for pair in self._pairs), np.zeros(len(ts_ns), np.int64))
        return self._alone.at(ts_ns) + np.minimum(by_pairs + self._untimed, self._most)


class _Pair(NamedTuple):
    """What a program (`own`) and its `twin` missed, what only the twin `stored`, and what it `repeated`."""

    own: _Since
    twin: _Since
    stored: int
    repeated: int

    def lost(self, ts_ns: NDArray[np.int64]) -> Counts:
        """The most events, at each time or later, that the twin missed as well, or is thought to repeat."""
        either = self.twin.at(ts_ns) + np.minimum(self.own.at(ts_ns), self.repeated)
        return np.minimum(either, max(self.own.total - self.stored, 0))


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
        plain(table.column("end_ns")) + SLACK_NS,
        plain(table.column("count")).astype(np.int64),
        np.array(names, dtype=object),
        twin,
        twinned & np.isin(np.array(names, str), paired[:MOST_PAIRS]),
    )


def _told(table: pa.Table) -> int:
    """How many misses of first programs, harmless ones too, the ledger knows of."""
    rows = zip(*(table.column(name).to_pylist() for name in ("kind", "program", "count")), strict=True)
    return sum(n for kind, name, n in rows if kind == Loss.RECURSION and not name.endswith(TWIN))
