# SPDX-License-Identifier: Apache-2.0
"""memory.arrow and slabinfo.arrow of a trace as one series, and what was traced beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slabtrace.analysis.memory import parts
from slabtrace.analysis.memory.series import Series, from_table, with_slabs
from slabtrace.analysis.names.cache_names import LARGE, PAGES, PERCPU, VMALLOC
from slabtrace.analysis.opened.recorded import Recorded

if TYPE_CHECKING:
    import pandas as pd


def memory_series(recorded: Recorded) -> Series:
    """The counters of memory over the recording, or its window; without times if there are none."""
    series = from_table(recorded.reader.table("memory"), recorded.span_ns)
    return with_slabs(series, recorded.slabinfo, recorded.manifest.host.page_size)


def traced_bytes(usage: pd.DataFrame, caches: pd.DataFrame) -> dict[str, float]:
    """Bytes allocated less bytes freed while recording, by slab cache; parts.LARGE: of large kmalloc;
    parts.PERCPU, parts.VMALLOC: of these, if they were recorded.  Pages are of several parts, so in none.

    `usage`, `caches`: rows of Trace.usage() and Trace.caches().
    """
    net = (caches["allocs"] - caches["frees"] - caches["inferred"]) * caches["size"]
    found = dict(zip(caches["cache"], net.astype(float), strict=True))
    for name in PAGES:
        found.pop(name, None)
    for cache, part in ((LARGE, parts.LARGE), (PERCPU, parts.PERCPU), (VMALLOC, parts.VMALLOC)):
        found.pop(cache, None)
        held = usage.loc[usage["cache"] == cache, "bytes"]
        if len(held):
            found[part] = float(held.iloc[-1])
    return found
