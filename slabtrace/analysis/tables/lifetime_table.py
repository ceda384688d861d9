# SPDX-License-Identifier: Apache-2.0
"""How long objects lived, by who allocated them: distribution, temporary objects, survivors.

A *temporary* object was freed by the task that allocated it, within a millisecond.  A local variable, a
per-CPU buffer or a cached object might have served instead.
A *survivor* was not freed by the end of the recording.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import OCTAVES
from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.summary import Lookup, Objects
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.sampled_stacks import shown_stacks
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.analysis.statistics.percentiles import percentile
from slabtrace.columns import LIFETIMES

TEMPORARY_NS = 1_000_000
PERCENTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99}
COLUMNS = LIFETIMES.names


class Temporaries:
    """Counts temporary objects by the site of their allocation: `objects`, shape (s,)."""

    def __init__(self, sites: int) -> None:
        self.objects: Counts = np.zeros(sites, np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        ts_ns, tid = paired.events.ts_ns, paired.events.tid
        brief = ts_ns.take(paired.end) - ts_ns.take(paired.alloc) < TEMPORARY_NS
        brief &= tid.take(paired.end) == tid.take(paired.alloc)
        brief &= paired.how == How.FREED
        self.objects += np.bincount(paired.ended_site[brief], minlength=len(self.objects))


class Lived(NamedTuple):
    """`objects` by `sites`, with the lifetimes of those freed by site and octave: see counting.ages.Ages."""

    sites: Sites
    caches: Caches
    objects: Objects
    lived: Counts


def lifetime_table(kept: Lived, temporaries: Counts, lookup: Lookup, groups: Groups) -> pd.DataFrame:
    """One row for each of `groups` that allocated, most allocations first: COLUMNS.

    Lifetimes are counted by powers of two; percentiles are interpolated within them.
    """
    number = len(groups)
    lived = np.zeros((number, OCTAVES), np.int64)
    member = groups.of_site >= 0
    np.add.at(lived, groups.of_site[member], kept.lived[member])
    frame = pd.DataFrame(
        {
            "allocated": by_group(groups.of_site, kept.objects.allocated, number),
            "freed": lived.sum(axis=1),
            **{name: percentile(lived, share) for name, share in PERCENTILES.items()},
            "longest_ns": _longest(lived),
            "temporary": by_group(groups.of_site, temporaries, number),
            "survivors": by_group(groups.of_site, kept.objects.held, number),
        }
    )
    frame["cache"] = [kept.caches.names[row] for row in groups.cache.tolist()]
    frame["call_site"], frame["module"] = groups.call_site, groups.module
    frame["symbol"] = [lookup.symbols.name(each) if each else "" for each in frame["call_site"].tolist()]
    shown = shown_stacks(kept.sites, kept.objects.held, groups.of_site, groups.stack_id)
    frame["stack"] = [lookup.stacks.names(each) for each in shown.stack_id.tolist()]
    frame["histogram"] = pd.Series([histogram(row) for row in lived], dtype=object)
    frame = frame[frame["allocated"] > 0].sort_values("allocated", ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)


def histogram(lived: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(from_ns, to_ns, objects) for each octave from the first to the last that has any."""
    some = np.flatnonzero(lived)
    if not len(some):
        return []
    return [(1 << k, 2 << k, int(lived[k])) for k in range(int(some[0]), int(some[-1]) + 1)]


def _longest(lived: Counts) -> NDArray[Any]:
    last = OCTAVES - 1 - (lived[:, ::-1] > 0).argmax(axis=1)
    return np.where(lived.any(axis=1), 2.0 ** (last + 1), np.nan)
