# SPDX-License-Identifier: Apache-2.0
"""Which findings the evidence supports.  The others are explained by events that were missed.

A healthy machine has no supported finding.  One is supported if no missed event explains it (exact), or

  lost events     if there are more such findings at a time than lost events then: not all are explained
  double-free     if one task allocated the object and freed it twice, from two call sites, at once: an
                  allocation that was missed would have to fit in between.  Only of a cache without other
                  unexplained second frees, for those show that its allocations are missed
  wrong-cache     if the slab, read at the end, is of the cache of the allocation, or if one task allocated
                  the object and freed it at once: no time to give the slab away

Example: bulk allocations cannot be traced.  All frees are of one cache.

    object  alloc         first free            second free           supported
    0x10    task 7, 1 ms  task 7, 2 ms, at f()  task 7, 3 ms, at g()  yes, but not if 0x20 is of this cache
    0x20    task 7, 1 ms  RCU, 5 ms             RCU, 900 ms           no: allocated unseen in between
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pandas as pd

from slabtrace.analysis.mismatches.proof import FILTERED, LOST, REUSED, MismatchProof
from slabtrace.analysis.trust.confidence import NO_BOUND
from slabtrace.analysis.trust.losses import SLACK_NS

CLOSE_NS = 10_000_000  # two frees by one task within this time were at once
Row = dict[str, Any]


class Unsupported(NamedTuple):
    """How many findings are not supported, and what explains them, in words ("" if there are none)."""

    number: int
    cause: str


def judge(rows: list[Row], proof: MismatchProof) -> None:
    """Set `supported` and `explained_by` of findings.

    Each has the columns of MISMATCHES, `cause` (Explanation.cause), `since_ns` and `ts_ns` (the time in which
    events would have to be missing), and `slab_agrees` (whether its slab is of the cache of its allocation).
    """
    doubles = [row for row in rows if row["kind"] == "double-free"]
    wrong = [row for row in rows if row["kind"] == "wrong-cache-free"]
    supported = {id(row) for row in rows if row["maybe_missed"] == 0 or row["slab_agrees"]}
    supported |= {id(row) for row in _beyond_losses(doubles, proof.lost_allocations, 1)}
    supported |= {id(row) for row in _beyond_losses(wrong, proof.lost_events, 2)}
    supported |= {id(row) for row in _freed_at_once(doubles)}
    supported |= {id(row) for row in wrong if _by_one_task(row, row["alloc"], row["first_free"])}
    for row in rows:
        row["supported"] = id(row) in supported
        row["explained_by"] = "" if row["supported"] else row["cause"]


def unsupported(findings: pd.DataFrame) -> Unsupported:
    """The findings (rows of MISMATCHES) that are not supported, as one number and cause."""
    causes = findings.loc[~findings["supported"].astype(bool), "explained_by"].value_counts()
    if len(causes) < 2:
        return Unsupported(int(causes.sum()), "".join(causes.index))
    each = (f"{cause} ({number:,})" for cause, number in causes.items())
    return Unsupported(int(causes.sum()), " or ".join(each))


def _beyond_losses(rows: Iterable[Row], lost: Callable[[int, int], int], events_each: int) -> Iterator[Row]:
    """The findings that lost events may explain, if there are more of them than such events.

    `lost`: how many between two times, at most; `events_each`: so many explain one finding.  Findings are
    counted together if their times overlap, and once more if they share rows of the loss ledger, for one
    lost event explains one of these.
    """
    explained = [row for row in rows if row["cause"] == LOST]
    for apart_ns in (0, SLACK_NS):
        for together in _close(explained, apart_ns):
            since_ns, until_ns = together[0]["since_ns"], max(row["ts_ns"] for row in together)
            if events_each * len(together) > lost(since_ns, until_ns):
                yield from together


def _close(rows: Iterable[Row], apart_ns: int) -> Iterator[list[Row]]:
    """The findings at most so far apart, directly or by others in between, together."""
    together: list[Row] = []
    until_ns = 0
    for row in sorted(rows, key=lambda row: int(row["since_ns"])):
        if together and row["since_ns"] > until_ns + apart_ns:
            yield together
            together = []
        until_ns = max(until_ns, row["ts_ns"]) if together else row["ts_ns"]
        together.append(row)
    if together:
        yield together


def _freed_at_once(doubles: Iterable[Row]) -> list[Row]:
    """The double frees that an allocation on an untraced path hardly explains."""
    doubtful = [row for row in doubles if row["maybe_missed"] == NO_BOUND]
    at_once = [row for row in doubtful if _is_at_once(row)]
    close = {id(row) for row in at_once}
    others = {row["cache"] for row in doubtful if id(row) not in close}
    return [row for row in at_once if row["cache"] not in others]


def _is_at_once(row: Row) -> bool:
    """Whether one task allocated the object and freed it twice on one CPU, from two places, at once."""
    made, first, second = row["alloc"], row["first_free"], row["second_free"]
    if made is None or made["tid"] != first["tid"] or not _by_one_task(row, first, second):
        return False
    return bool(first["cpu"] == second["cpu"] and first["call_site"] != second["call_site"])


def _by_one_task(row: Row, first: Row | None, second: Row) -> bool:
    """Whether one task (no idle task, which interrupts share) did both at once, and no event was left out."""
    if first is None or row["cause"] in (FILTERED, REUSED):
        return False
    apart = second["ts_ns"] - first["ts_ns"]
    return bool(first["tid"] == second["tid"] != 0 and apart < CLOSE_NS)
