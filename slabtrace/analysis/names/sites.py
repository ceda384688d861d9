# SPDX-License-Identifier: Apache-2.0
"""The sites table in memory: what all events of a site have in common, found by `site` as index.

Events have a site number only; all that repeats is looked up here.  The table grows while a trace is recorded
(`extend`), and is loaded whole from a trace (`from_table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import FREE_BIT, LARGEST_ORDER, PAGES_OF_ORDER, SITES, Flag, Kind

Array: TypeAlias = NDArray[Any]

LARGE_KMALLOC = 1  # `cache_key` of whole-page kmallocs; no kmem_cache has this address
PERCPU_MEMORY = 2  # and of per-CPU memory
VMALLOC_AREAS = 3  # and of areas of vmalloc
_ONE_KEY = {
    (Kind.PERCPU_ALLOC, Kind.PERCPU_FREE): PERCPU_MEMORY,
    (Kind.VMALLOC, Kind.VFREE): VMALLOC_AREAS,
}
COLUMNS = {field.name: field.type.to_pandas_dtype() for field in SITES if field.name != "site"}


class Sites:
    """Columns of schema.SITES as arrays of shape (s,), and what follows from them.

    `free`: whether events of the site are frees or ends of slabs.  `page_end`: whether they are ends of
    slabs, which concern a whole slab instead of an object.  `cache_key`: `cache`, but LARGE_KMALLOC for large
    kmallocs, PERCPU_MEMORY for per-CPU memory and VMALLOC_AREAS for vmalloc, which have no cache; of pages it
    is PAGES_OF_ORDER and more.  `order`: of the block that a page came in, else 0.
    """

    def __init__(self) -> None:
        self._columns: dict[str, Array] = {name: np.empty(0, dtype) for name, dtype in COLUMNS.items()}
        self._derive()

    @classmethod
    def from_table(cls, table: pa.Table) -> Sites:
        """All sites of a trace's sites.arrow (schema.SITES, `site` counting up from 0)."""
        sites = cls()
        sites.extend({name: plain(table.column(name)) for name in COLUMNS})
        return sites

    def extend(self, rows: Mapping[str, Array] | NDArray[np.void]) -> None:
        """Append the next sites.  `rows`: the columns of schema.SITES by name."""
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.asarray(rows[name], column.dtype)])
        self._derive()

    def unify_stacks(self, repeated: NDArray[np.int64], first: NDArray[np.int64]) -> None:
        """Stacks numbered `repeated` (ascending) become those numbered `first`, both of shape (r,)."""
        if len(repeated):
            stack_id = self._columns["stack_id"]
            row = np.minimum(np.searchsorted(repeated, stack_id), len(repeated) - 1)
            same = repeated[row] == stack_id
            self._columns["stack_id"] = np.where(same, first[row], stack_id).astype(stack_id.dtype)

    def _derive(self) -> None:
        self.free: NDArray[np.bool_] = (self["kind"] & np.uint8(FREE_BIT)) != 0
        self.page_end: NDArray[np.bool_] = self["kind"] == np.uint8(Kind.PAGE_END)
        large = (self["cache"] == 0) & ((self["flags"] & np.uint8(Flag.LARGE)) != 0)
        key = np.where(large, np.uint64(LARGE_KMALLOC), self["cache"])
        for kinds, of_all in _ONE_KEY.items():
            key = np.where(np.isin(self["kind"], kinds), np.uint64(of_all), key)
        self.cache_key: NDArray[np.uint64] = key
        order = key - np.uint64(PAGES_OF_ORDER)  # wraps around for what is no page
        self.order: NDArray[np.int64] = np.where(order <= LARGEST_ORDER, order, 0).astype(np.int64)

    def __len__(self) -> int:
        return len(self._columns["kind"])

    def __getitem__(self, name: str) -> Array:
        """The column `name` of schema.SITES, shape (s,)."""
        return self._columns[name]
