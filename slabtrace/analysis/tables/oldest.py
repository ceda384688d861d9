# SPDX-License-Identifier: Apache-2.0
"""The oldest objects of each finding, one by one, with lines for debuggers.

drgn (drgn.readthedocs.io): `Object`, `prog` and `identify_address` are there when it starts.  crash: its
commands `struct` and `rd` take an address in hexadecimal; `kmem -s ADDRESS` says whether it is in use.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.summary import Lookup, Objects
from slabtrace.analysis.names.cache_names import LARGE, PAGES, PERCPU, VMALLOC, Caches
from slabtrace.analysis.names.objects import kind_named
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.columns import OLDEST

COLUMNS = OLDEST.names
MOST_BYTES = 256  # of an object whose type is not known
WORD = 8


class Outstanding(NamedTuple):
    """The objects of a trace: their sites, the caches of these, the live ones, and their slabs at the end."""

    sites: Sites
    caches: Caches
    objects: Objects
    slabs: SlabStates


def oldest(
    found: Outstanding, lookup: Lookup, finding: Positions, most: int, ended_ns: int, redacted: bool
) -> pd.DataFrame:
    """The `most` oldest objects of each finding, by finding, oldest first: COLUMNS.

    `finding`, shape (n,): the rank of the finding that each live object is listed for, 0 for none;
    `ended_ns`: the end of the recording (CLOCK_MONOTONIC); `redacted`: addresses are made up.
    """
    chosen = _first_of_each(found.objects.live.ts_ns, finding, most)
    live, caches = found.objects.live.take(chosen), found.caches
    held = np.bincount(live.site, minlength=len(found.sites))
    kinds = lookup.objects_of(found.sites, caches, held)
    task = lookup.tasks.rows(live.tid, live.ts_ns)
    frame = pd.DataFrame(
        {
            "finding": finding[chosen].astype(np.int64),
            "ptr": live.ptr,
            "ts_ns": live.ts_ns - lookup.started_ns,
            "age_ns": ended_ns - live.ts_ns,
            "bytes_alloc": found.sites["bytes_alloc"].astype(np.int64)[live.site],
            "cache": [caches.names[row] for row in caches.of_site[live.site].tolist()],
            "object": [kinds.names[each] for each in kinds.of_site[live.site].tolist()],
            "comm": [lookup.tasks.comm[row] if row >= 0 else "" for row in task.tolist()],
            "tid": live.tid.astype(np.int64),
            "pid": np.append(lookup.tasks.tgid, np.uint32(0))[task].astype(np.int64),  # row -1: the last
            "in_use": found.slabs.held(live),
        }
    )
    frame["drgn"] = ["" if redacted else drgn_line(*each) for each in _described(frame)]
    frame["crash"] = ["" if redacted else crash_line(*each) for each in _described(frame)]
    return frame[list(COLUMNS)]


def drgn_line(ptr: int, bytes_alloc: int, cache: str, held: str) -> str:
    """A line that shows in drgn what lies at `ptr`; of an object of unknown type what its slab says of it."""
    kind = kind_named(held)
    if kind is not None and kind.struct:
        return f'Object(prog, "{kind.struct}", address={ptr:#x})'
    if cache == PERCPU:
        return f'per_cpu_ptr(Object(prog, "void *", {ptr:#x}), 0)'
    read = f"prog.read({ptr:#x}, {max(min(bytes_alloc, MOST_BYTES), WORD)})"
    return read if cache in (LARGE, VMALLOC, *PAGES) else f"identify_address(prog, {ptr:#x}), {read}"


def crash_line(ptr: int, bytes_alloc: int, cache: str, held: str) -> str:
    """A line that shows in crash what lies at `ptr`: its members, or so many words."""
    kind = kind_named(held)
    if kind is not None and kind.struct:
        return f"{kind.struct} {ptr:#x}"
    if cache == PERCPU:
        return f"ptov {ptr:#x}:a"
    return f"rd {ptr:#x} {max(min(bytes_alloc, MOST_BYTES) // WORD, 1)}"


def _described(frame: pd.DataFrame) -> list[tuple[int, int, str, str]]:
    columns = (frame[name].tolist() for name in ("ptr", "bytes_alloc", "cache", "object"))
    return list(zip(*columns, strict=True))


def _first_of_each(ts_ns: Positions, finding: Positions, most: int) -> Positions:
    """The positions of the `most` earliest of each finding above 0, by finding, then time."""
    some = np.flatnonzero(finding > 0)
    order = some[np.lexsort((ts_ns[some], finding[some]))]
    ordered = finding[order]
    first = np.searchsorted(ordered, ordered)
    found: Positions = order[np.arange(len(order)) - first < most]
    return found
