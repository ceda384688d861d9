# SPDX-License-Identifier: Apache-2.0
"""The loss ledger read back: how many events are not in the trace, or not where they belong, and since when.

Recursion: an event is lost only if its program and the program's twin were both skipped for it, so
that where a twin was attached its misses bound the losses; so does what the first programs missed
less what twins recovered (which leaves out kfree(NULL), recovered but not recorded).  Skipped
programs that record no allocation and no free lose none.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.counts import Counts
from slabtrace.trace.arrays import plain
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.schema import Loss

TWIN = "_twin"  # how the names of twin programs end
HARMLESS = ("mm_page_free", "task_newtask", "task_rename")  # lose a proof, or a name, but no event
SLACK_NS = 1_000_000_000  # counters are read after the clock, one by one: a row may end that much later


class Losses:
    """Lost events by kind and time.  A loss that only the manifest knows may have been at any time.

    `dropped` (ring full, or nested too deep), `recursion_missed` (by first programs), `skipped`
    (those of them that no twin recovered, at most), `stacks_lost`, `late`: totals.
    """

    def __init__(self, table: pa.Table, manifest: Manifest, recovered: int) -> None:
        kind, count = plain(table.column("kind")), plain(table.column("count")).astype(np.int64)
        program = np.array(table.column("program").to_pylist(), dtype=object)
        twin = np.array([name.endswith(TWIN) for name in program], np.bool_)
        harmless = np.isin(program.astype(str), HARMLESS)
        recursion = kind == Loss.RECURSION
        totals = manifest.totals

        def total(rows: NDArray[np.bool_]) -> int:
            return int(count[rows].sum())

        untold = max(totals.recursion_missed - total(recursion & ~twin), 0)
        bounds = recursion & bounding(program, twin, manifest) & ~harmless
        self.recursion_missed = total(recursion & ~twin & ~harmless) + untold
        self._most_skipped = max(self.recursion_missed - recovered, 0)
        self.skipped = min(total(bounds) + untold, self._most_skipped)
        self.stacks_lost = max(total(kind == Loss.STACK), totals.stacks_lost)
        self.late = max(total(kind == Loss.LATE), totals.late)
        drops = (kind == Loss.RING_FULL) | (kind == Loss.NESTING)
        self.dropped = max(total(drops), totals.dropped)
        others = drops | (kind == Loss.LATE)
        self._untimed = self.dropped + self.late - total(others)
        self._untimed_skipped = untold
        end = plain(table.column("end_ns")) + SLACK_NS
        self._others, self._skips = _Since(end[others], count[others]), _Since(end[bounds], count[bounds])

    @property
    def total(self) -> int:
        """All events lost or misplaced."""
        return self.dropped + self.skipped + self.late

    def since(self, ts_ns: NDArray[np.int64]) -> Counts:
        """The most events that can have been lost or misplaced at each time or later, shape (n,)."""
        skipped = self._skips.at(ts_ns) + self._untimed_skipped
        return self._others.at(ts_ns) + self._untimed + np.minimum(skipped, self._most_skipped)


class _Since:
    """Sums of the counts whose interval ends after a time."""

    def __init__(self, end_ns: NDArray[np.int64], count: Counts) -> None:
        order = np.argsort(end_ns)
        self._end_ns = end_ns[order]
        self._left = np.append(np.cumsum(count[order][::-1])[::-1], 0)

    def at(self, ts_ns: NDArray[np.int64]) -> Counts:
        left: Counts = self._left[np.searchsorted(self._end_ns, ts_ns, side="right")]
        return left


def bounding(program: NDArray[np.object_], twin: NDArray[np.bool_], manifest: Manifest) -> NDArray[np.bool_]:
    """Which ledger rows bound what was skipped: those of twins, and of programs without one, shape (n,)."""
    twins = {*manifest.coverage.twins, *program[twin]}
    return twin | np.array([name + TWIN not in twins for name in program], np.bool_)
