# SPDX-License-Identifier: Apache-2.0
"""Frees that contradict earlier events, each with its evidence.

  double-free        an address was freed twice with no allocation in between
  invalid-free       no object begins at the address (bpf/object_start.h; object_layout.py)
  wrong-cache-free   kmem_cache_free named another cache than the object's

These are not findings: a completion of kfree_rcu (duplicates.py); an address allocated again after a missed
free, which is inferred; the free of an object older than the recording; kfree of an object of any cache,
which is allowed.  How sure a finding is: proof.py.  Whether the evidence supports it: support.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.mismatches.evidence import History, described
from slabtrace.analysis.mismatches.object_layout import ObjectLayout
from slabtrace.analysis.mismatches.proof import Explanation, MismatchProof, confidence
from slabtrace.analysis.mismatches.support import judge
from slabtrace.analysis.mismatches.wrong_frees import WrongFrees
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.confidence import NO_BOUND
from slabtrace.columns import MISMATCHES
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind

COLUMNS = MISMATCHES.names


@dataclass
class Findings:
    """Makes a table of contradictory frees, and looks up their evidence.

    `slabs`: the slabs as they were read at the end of the recording.  `preemptible`: see Pairer.
    """

    sites: Sites
    caches: Caches
    lookup: Lookup
    layout: ObjectLayout
    proof: MismatchProof
    slabs: SlabStates
    preemptible: bool = False

    def table(self, wrong_frees: WrongFrees, batches: Iterable[EventBatch]) -> pd.DataFrame:
        """One row for each finding, the surest first, then by time: COLUMNS.

        kind, ptr, cache (the object's), confidence, maybe_missed (Int64: events missed that could
        explain it; <NA> where nothing bounds them), offset (invalid-free: bytes into the object; else
        <NA>), named_cache (wrong-cache-free: that was named, None where the kernel hides it), supported and
        explained_by (support.py), alloc, first_free, second_free (dicts as evidence.described; None for what
        was not seen or there is not).
        """
        double, invalid, wrong = (
            each.events() for each in (wrong_frees.double, wrong_frees.invalid, wrong_frees.wrong_cache)
        )
        addresses = [int(e.ptr[0]) for e in [*double, *wrong]]
        addresses += [start for e in invalid for start in self.layout.starts(e)]
        if not addresses:
            return pd.DataFrame(columns=list(COLUMNS))
        history = History(np.array(addresses, np.uint64), batches, self.sites, self.preemptible)
        rows = [row for e in double if (row := self._double(e, history))]
        rows += [self._wrong_cache(e, history) for e in wrong]
        rows += [self._invalid(e, history) for e in invalid]
        judge(rows, self.proof)
        return _table(rows)

    def _double(self, second: EventBatch, history: History) -> dict[str, Any] | None:
        """None where the first free was only inferred, from the end of the slab: an allocation was missed.

        Also None where the second may be the twin's record of the first, by a task that was preempted for
        longer than duplicates.py allows (from 7.0).
        """
        alloc, first, clear = history.before(int(second.ptr[0]), int(second.ts_ns[0]))
        if first is None or (self._is_recovered(second) and self._is_one_call(first, second)):
            return None
        since_ns = int(first.ts_ns[0])
        missed = self.proof.double(since_ns, int(second.ts_ns[0]), clear)
        return self._row("double-free", second, missed, alloc, first, second) | {"since_ns": since_ns}

    def _is_recovered(self, event: EventBatch) -> bool:
        return bool(self.sites["flags"][event.site[0]] & np.uint8(Flag.RECOVERED))

    def _is_one_call(self, first: EventBatch, second: EventBatch) -> bool:
        """Whether both are by one task from one call site."""
        call_site = self.sites["call_site"]
        same_place = call_site[first.site[0]] == call_site[second.site[0]]
        return bool(same_place and first.tid[0] == second.tid[0])

    def _wrong_cache(self, free: EventBatch, history: History) -> dict[str, Any]:
        alloc, _, _ = history.before(int(free.ptr[0]), int(free.ts_ns[0]))
        complained = int(self.sites["kind"][free.site[0]]) == Kind.WRONG_CACHE_FREE
        alloc_ns = int(alloc.ts_ns[0]) if alloc else 0
        missed = self.proof.wrong_cache(alloc_ns, int(free.ts_ns[0]), complained)
        row = self._row("wrong-cache-free", free, missed, alloc, free, None) | {"since_ns": alloc_ns}
        named = self._cache_name(free)
        if alloc is not None:
            row["cache"] = self._cache_name(alloc)
            made_in = int(self.sites["cache"][alloc.site[0]])
            row["slab_agrees"] = made_in == self.slabs.cache_at(int(free.ptr[0]))
        return row | {"named_cache": named if named != row["cache"] else None}

    def _invalid(self, free: EventBatch, history: History) -> dict[str, Any]:
        start, alloc = self._object_around(free, history)
        judged = bool(self.sites["flags"][free.site[0]] & np.uint8(Flag.INTERIOR))
        kind = int(self.sites["kind"][free.site[0]])
        missed = self.proof.invalid(judged, alloc is not None, kind)
        row = self._row("invalid-free", free, missed, alloc, free, None)
        return row | {"offset": int(free.ptr[0]) - start}

    def _object_around(self, free: EventBatch, history: History) -> tuple[int, EventBatch | None]:
        """Where the object around a freed address begins, and its allocation if it was seen."""
        ptr, ts_ns = int(free.ptr[0]), int(free.ts_ns[0])
        starts = self.layout.starts(free)
        for start in starts:
            alloc, _, _ = history.before(start, ts_ns)
            if alloc is not None and ptr < start + int(self.sites["bytes_alloc"][alloc.site[0]]):
                return start, alloc
        return starts[0], None

    def _cache_name(self, event: EventBatch) -> str:
        return self.caches.names[int(self.caches.of_site[event.site[0]])]

    def _row(
        self,
        kind: str,
        free: EventBatch,
        missed: Explanation,
        alloc: EventBatch | None,
        first: EventBatch,
        second: EventBatch | None,
    ) -> dict[str, Any]:
        """A finding, as support.judge needs it.

        A free that names no cache (kfree_bulk) takes its allocation's.
        """
        nameless = self.sites["cache"][free.site[0]] == 0 and alloc is not None
        evidence = (described(each, self.sites, self.caches, self.lookup) for each in (alloc, first, second))
        return {
            "kind": kind,
            "ptr": int(free.ptr[0]),
            "cache": self._cache_name(alloc if nameless and alloc else free),
            "maybe_missed": missed.missed,
            "cause": missed.cause,
            "offset": None,
            "named_cache": None,
            **dict(zip(("alloc", "first_free", "second_free"), evidence, strict=True)),
            "slab_agrees": False,
            "since_ns": 0,
            "ts_ns": int(free.ts_ns[0]),
        }


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    rows = sorted(rows, key=lambda row: (row["maybe_missed"], row["ts_ns"]))
    missed = [row["maybe_missed"] for row in rows]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["confidence"] = [confidence(n) for n in missed]
    frame["maybe_missed"] = pd.array([None if n == NO_BOUND else n for n in missed], "Int64")
    frame["offset"] = frame["offset"].astype("Int64")
    return frame
