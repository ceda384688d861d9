# SPDX-License-Identifier: Apache-2.0
"""Counters of memory over time: rows as in memory.arrow become one array for each counter.

A row holds until the next one of its counter.  However long the recording is, there are at most MOST times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format.arrays import plain

if TYPE_CHECKING:
    from slabtrace.analysis.names.slabinfo import Samples

MOST = 601  # times
LISTED = ("vmalloc.", "slab.")  # counters that are only there while they are not 0
Values = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """Counters, each of shape (n,), at the times `ts_ns`, shape (n,), ascending; NaN before they were read.

    `labels`: what each time is called, where its source has a name for it (saved copies); `timed`: whether
    the times are known, and do not just number the samples.
    """

    ts_ns: Times
    counters: Mapping[str, Values]
    labels: Sequence[str] = ()
    timed: bool = True

    def of(self, name: str) -> Values:
        """A counter over time; NaN throughout if there is none of that name."""
        known = self.counters.get(name)
        return np.full(len(self.ts_ns), np.nan) if known is None else known

    def named(self, begin: str) -> dict[str, Values]:
        """The counters whose name begins with `begin`, by the rest of the name."""
        return {name[len(begin) :]: each for name, each in self.counters.items() if name.startswith(begin)}

    @property
    def known(self) -> bool:
        """Whether there are two moments to compare."""
        return len(self.ts_ns) > 1 and "meminfo.MemFree" in self.counters


def from_table(table: pa.Table, span_ns: tuple[int, int]) -> Series:
    """memory.arrow from the begin to the end of `span_ns`."""
    encoded = table.column("counter").combine_chunks().dictionary_encode()
    names, code = encoded.dictionary.to_pylist(), plain(encoded.indices)
    ts_ns, values = plain(table.column("ts_ns")), plain(table.column("value")).astype(np.float64)
    grid = _grid(ts_ns, span_ns)
    order = np.lexsort((ts_ns, code))
    bounds = np.searchsorted(code[order], np.arange(len(names) + 1))
    counters = {}
    for row, name in enumerate(names):
        mine = order[bounds[row] : bounds[row + 1]]
        counters[name] = _held(ts_ns[mine], values[mine], grid)
    return _complete(Series(grid, counters))


def from_samples(
    samples: Sequence[tuple[int, Mapping[str, int]]], labels: Sequence[str] = (), timed: bool = True
) -> Series:
    """Samples (time, counters that changed) in order of time; a counter holds until it is in another one."""
    names = dict.fromkeys(name for _, counters in samples for name in counters)
    values = {name: np.full(len(samples), np.nan) for name in names}
    for row, (_, counters) in enumerate(samples):
        for name, number in counters.items():
            values[name][row:] = number
    times = np.array([ts for ts, _ in samples], np.int64)
    return _complete(Series(times, values, tuple(labels), timed))


def with_slabs(series: Series, slabinfo: Mapping[str, Samples], page_size: int) -> Series:
    """`series` with the slab caches that it does not have yet: `slab.NAME`, bytes of pages."""
    if not len(series.ts_ns):
        return series
    found = {
        f"slab.{name}": samples.pages[samples.rows_at(series.ts_ns)].astype(np.float64) * page_size
        for name, samples in slabinfo.items()
        if f"slab.{name}" not in series.counters
    }
    return replace(series, counters={**series.counters, **found})


def _complete(series: Series) -> Series:
    """`series` with 0 for what was not listed yet when others of its kind were: a new caller of vmalloc."""
    counters = dict(series.counters)
    for begin in LISTED:
        names = [name for name in counters if name.startswith(begin)]
        read = ~np.isnan(np.stack([counters[name] for name in names])).all(axis=0) if names else None
        for name in names:
            counters[name] = np.where(np.isnan(counters[name]) & read, 0.0, counters[name])
    return replace(series, counters=counters)


def _grid(ts_ns: Times, span_ns: tuple[int, int]) -> Times:
    """At most MOST of the times of rows within the span; what came before it counts for its begin."""
    if not len(ts_ns):
        return np.empty(0, np.int64)
    times = np.unique(np.clip(ts_ns, *span_ns))
    if len(times) <= MOST:
        return times
    evenly: Times = times[np.unique(np.linspace(0, len(times) - 1, MOST).astype(np.intp))]
    return evenly


def _held(ts_ns: Times, values: Values, grid: Times) -> Values:
    row = np.searchsorted(ts_ns, grid, side="right") - 1
    return np.where(row < 0, np.nan, values[np.maximum(row, 0)])
