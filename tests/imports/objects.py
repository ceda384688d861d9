# SPDX-License-Identifier: Apache-2.0
"""Two recordings of one run, compared object by object; every difference is explained, or is not.

An object is an allocation of an address and its end.  Two recordings have the same object if both have an
allocation of this address at nearly the same time.  slabtrace's own recording watches more paths.

| slabtrace saw                 | the other                             | explained by     |
|-------------------------------|---------------------------------------|------------------|
| allocated and freed in bulk   | nothing                               | no tracepoint    |
| freed by kfree_rcu or in bulk | outstanding, or ended by reuse        | no tracepoint    |
| freed by kfree                | outstanding, in an interval of a loss | a loss           |
| freed by kfree                | outstanding, no loss                  | nothing          |
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from slabtrace.analysis.pairing.paired import How
from slabtrace.api import Trace
from slabtrace.trace.format.schema import FREE_BIT, Kind

NEAR_NS = 2_000_000  # two tracers read the clock at one event at times so far apart, at most
SEEN = {Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE}  # kinds that have a tracepoint
NOT_FREED, REUSED = "outstanding", "reused"
NEVER = np.iinfo(np.int64).max
SAME, SILENT, LOSS, OWN_LOSS, OPEN = "same", "no tracepoint", "a loss", "a loss of slabtrace's", ""


class Objects(NamedTuple):
    """Objects of two recordings, in the time of both: in both, in the first alone, in the second alone."""

    both: pd.DataFrame
    own: pd.DataFrame
    other: pd.DataFrame

    def differences(self) -> Counter[tuple[str, str]]:
        """How many objects, by what was seen and why it differs; "" where that is not explained."""
        found: Counter[tuple[str, str]] = Counter()
        for row in self.both.itertuples():
            found[row.end if row.why == SAME else f"{row.end} / {row.end_other}", row.why] += 1
        for alone, frame in (("slabtrace", self.own), ("the other", self.other)):
            for row in frame.itertuples():
                found[f"{row.kind}, in {alone} alone", row.why] += 1
        return found

    @property
    def unexplained(self) -> int:
        """How many objects differ for no known reason."""
        return sum(int((frame.why == OPEN).sum()) for frame in self)


def objects_of(trace: Trace) -> pd.DataFrame:
    """ptr, ts_ns, cpu, kind, call_site of each allocation, end_ns and how it ended (end)."""
    events = pd.concat(
        batch.to_pandas() for batch in trace.events(["ts_ns", "ptr", "kind", "cpu", "call_site"])
    )
    allocs = events[(events.kind & FREE_BIT) == 0]
    last = allocs[~allocs.duplicated("ptr", keep="last")].assign(end=NOT_FREED, end_ns=NEVER)
    columns = ["ptr", "alloc_ts_ns", "free_ts_ns", "free_kind", "how"]
    ended = pd.concat(batch.select(columns).to_pandas() for batch in trace.lifetimes())
    names = {int(kind): kind.name for kind in Kind}
    how = {int(How.FREED): ended.free_kind.map(names), int(How.INFERRED): REUSED}
    ended["end"] = how[int(How.FREED)].where(
        ended.how == int(How.FREED), ended.how.map({int(each): each.name.lower() for each in How})
    )
    ended.loc[ended.how == int(How.INFERRED), "end"] = REUSED
    ended = ended.rename(columns={"alloc_ts_ns": "ts_ns", "free_ts_ns": "end_ns"})
    ended = ended.merge(allocs, on=["ptr", "ts_ns"], how="left")
    still = last.merge(ended[["ptr", "ts_ns"]], on=["ptr", "ts_ns"], how="left", indicator=True)
    still = still[still._merge == "left_only"]
    wanted = ["ptr", "ts_ns", "cpu", "kind", "call_site", "end", "end_ns"]
    found = pd.concat([ended[wanted], still[wanted]], ignore_index=True)
    found["kind"] = found.kind.map(names)
    return found.sort_values("ts_ns", kind="stable").reset_index(drop=True)


def objects(own: Trace, other: Trace, edge_ns: int, shift_ns: int = 0, near_ns: int = NEAR_NS) -> Objects:
    """The objects of slabtrace's recording and of another tool's, with why they differ.

    `edge_ns`: left out at either end, where one may not have been ready.  `shift_ns`: what the other's clock
    is ahead.  `near_ns`: times of one allocation are so far apart, at most.
    """
    a, b = objects_of(own), objects_of(other)
    b["ts_ns"] -= shift_ns
    b.loc[b.end_ns != NEVER, "end_ns"] -= shift_ns
    begin = max(a.ts_ns.min(), b.ts_ns.min()) + edge_ns
    end = min(own.span_ns[1], other.span_ns[1] - shift_ns) - edge_ns
    matched = _matched(a, b, near_ns)
    in_time = (a.ts_ns >= begin) & (a.ts_ns < end)
    both = a[in_time & (matched >= 0)].copy()
    partner = b.loc[matched[both.index]]
    both["end_other"], both["end_other_ns"] = partner.end.to_numpy(), partner.end_ns.to_numpy()
    for column in ("end", "end_other"):  # as of the end
        both.loc[both[f"{column}_ns"] >= end, column] = NOT_FREED
    alone = a[in_time & (matched < 0)].copy()
    others = b[(b.ts_ns >= begin) & (b.ts_ns < end) & ~b.index.isin(matched[matched >= 0])].copy()
    lost, own_lost = _lost(other, shift_ns), own.completeness().lost
    both["why"] = [_why(row, end, lost, own_lost) for row in both.itertuples()]
    alone["why"] = [
        SILENT if Kind[row.kind] not in SEEN else LOSS if _in(lost, row.ts_ns, row.cpu) else OPEN
        for row in alone.itertuples()
    ]
    others["why"] = OWN_LOSS if own_lost else OPEN
    return Objects(both, alone, others)


def _matched(a: pd.DataFrame, b: pd.DataFrame, near_ns: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The row of `b` that is the object of each row of `a`; -1: none.  Each is taken once, nearest first."""
    found = np.full(len(a), -1, np.int64)
    left, right = a[["ts_ns", "ptr"]].assign(mine=a.index), b[["ts_ns", "ptr"]].assign(theirs=b.index)
    while len(left) and len(right):
        near = right.assign(at_ns=right.ts_ns).sort_values("ts_ns")
        pairs = pd.merge_asof(
            left.sort_values("ts_ns"), near, on="ts_ns", by="ptr", direction="nearest", tolerance=near_ns
        ).dropna(subset=["theirs"])
        if pairs.empty:
            break
        pairs["apart"] = (pairs.ts_ns - pairs.at_ns).abs()
        pairs = pairs.sort_values("apart", kind="stable").drop_duplicates("theirs")
        found[pairs.mine.to_numpy()] = pairs.theirs.to_numpy(np.int64)
        left, right = left[~left.mine.isin(pairs.mine)], right[~right.theirs.isin(pairs.theirs)]
    return found


def _why(row: object, end: int, lost: pd.DataFrame, own_lost: int) -> str:
    """Why the ends of one object differ."""
    mine, theirs = row.end, row.end_other  # type: ignore[attr-defined]
    if mine == theirs:
        return SAME
    times = [each for each in (row.end_ns, row.end_other_ns) if each != NEVER]  # type: ignore[attr-defined]
    if any(abs(each - end) < NEAR_NS for each in times):
        return SAME  # at the edge
    if mine not in {kind.name for kind in SEEN}:
        return SILENT if mine not in (NOT_FREED, REUSED) else (OWN_LOSS if own_lost else OPEN)
    began = row.ts_ns  # type: ignore[attr-defined]
    return LOSS if _in(lost, row.end_ns, None) or _in(lost, began, None) else OPEN  # type: ignore[attr-defined]


def _lost(trace: Trace, shift_ns: int) -> pd.DataFrame:
    """begin_ns, end_ns and CPU of what the other tool says it lost."""
    ledger = trace._recorded.ledger.to_pandas()[["begin_ns", "end_ns", "cpu"]]
    return ledger.assign(begin_ns=ledger.begin_ns - shift_ns, end_ns=ledger.end_ns - shift_ns)


def _in(lost: pd.DataFrame, ts_ns: int, cpu: int | None) -> bool:
    """Whether events of a time, on a CPU (None: any), were lost."""
    if lost.empty:
        return False
    there = (lost.begin_ns - NEAR_NS <= ts_ns) & (ts_ns <= lost.end_ns + NEAR_NS)
    if cpu is not None:
        there &= (lost.cpu < 0) | (lost.cpu == cpu)
    return bool(there.any())
