# SPDX-License-Identifier: Apache-2.0
"""The kernel's own count of each cache's objects over the recording, from slabinfo.arrow.

The first sample has all caches, later ones only those that changed: a row holds until the next one of its
cache. SLUB counts free objects that are parked on CPUs as active, so active_objs is too high by up to a few
slabs for each CPU and cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.names.frames import comparable_cache
from slabtrace.trace.format.arrays import plain


@dataclass
class Samples:
    """The samples of one cache in time order, all arrays of shape (k,), k >= 1."""

    ts_ns: NDArray[np.int64]
    active_objs: NDArray[np.int64]
    num_objs: NDArray[np.int64]
    objsize: NDArray[np.int64]
    objperslab: NDArray[np.int64]
    pagesperslab: NDArray[np.int64]

    @property
    def change(self) -> int:
        """Active objects at the end less those at the start."""
        return int(self.active_objs[-1] - self.active_objs[0])

    @property
    def pages(self) -> NDArray[np.int64]:
        """Pages in the cache's slabs, shape (k,)."""
        return self.num_objs // np.maximum(self.objperslab, 1) * self.pagesperslab

    def rows_at(self, ts_ns: NDArray[np.int64]) -> NDArray[np.intp]:
        """The last sample at each time (before the first sample: the first)."""
        return np.maximum(np.searchsorted(self.ts_ns, ts_ns, side="right") - 1, 0)


def summed(samples: Sequence[Samples]) -> Samples:
    """The samples of several caches with objects of one size as those of one cache: sums at every time."""
    ts_ns = np.unique(np.concatenate([each.ts_ns for each in samples]))
    rows = [each.rows_at(ts_ns) for each in samples]

    def total(name: str) -> NDArray[np.int64]:
        columns = [getattr(each, name)[row] for each, row in zip(samples, rows, strict=True)]
        summed: NDArray[np.int64] = np.sum(columns, axis=0, dtype=np.int64)
        return summed

    shape = (getattr(samples[0], name)[rows[0]] for name in ("objsize", "objperslab", "pagesperslab"))
    return Samples(ts_ns, total("active_objs"), total("num_objs"), *shape)


def with_copies_summed(slabinfo: dict[str, Samples]) -> dict[str, Samples]:
    """`slabinfo` with the copies of each kmalloc cache as one, by its common name (comparable_cache)."""
    copies: dict[str, list[Samples]] = {}
    for name, samples in slabinfo.items():
        copies.setdefault(comparable_cache(name), []).append(samples)
    return {name: each[0] if len(each) == 1 else summed(each) for name, each in copies.items()}


def samples_by_cache(table: pa.Table) -> dict[str, Samples]:
    """slabinfo.arrow by cache name."""
    ts_ns = plain(table.column("ts_ns"))
    counts = [
        plain(table.column(name)).astype(np.int64)
        for name in ("active_objs", "num_objs", "objsize", "objperslab", "pagesperslab")
    ]
    encoded = table.column("name").combine_chunks().dictionary_encode()
    names, code = encoded.dictionary.to_pylist(), plain(encoded.indices)
    order = np.lexsort((ts_ns, code))
    bounds = np.searchsorted(code[order], np.arange(len(names) + 1))
    found = {}
    for row, name in enumerate(names):
        mine = order[bounds[row] : bounds[row + 1]]
        found[name] = Samples(ts_ns[mine], *(column[mine] for column in counts))
    return found
