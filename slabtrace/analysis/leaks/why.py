# SPDX-License-Identifier: Apache-2.0
"""Why a finding has its class, and what to do next: sentences with the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slabtrace.units import count, duration, plural, size, unknown

MINUTE = 60
DOUBTED = ("growing", "young", "replacing")  # classes that a doubt matters for


def why(row: dict[Any, Any]) -> str:
    """`row`: a row of the table of findings, with `known`, what the objects are by design, `remedy`: what
    would remove its doubt, `of_task`: whether it is of one task of several (by_task.py), and `bursts` and
    `ended`: how they came (Tested).

    As "one more every 1 s, 3.8 KiB/min (2.8 KiB to 4.9 KiB); 0 of 60 objects older than 4.29 s were freed;
    freed objects of this stack lived 2 ms (median)".
    """
    return "; ".join(_clauses(row))


def what_next(row: dict[Any, Any]) -> str:
    """What to do about a finding, "" if nothing helps or is needed."""
    if row["class"] == "suspect":
        return "find who holds these objects, or which release is not called for them"
    longer = "" if unknown(row["longer_ns"]) else f"record {duration(row['longer_ns'])} longer to decide"
    if row["class"] in DOUBTED and row["remedy"] and not (row["class"] == "young" and longer):
        return str(row["remedy"])
    return longer


def _clauses(row: dict[Any, Any]) -> Iterator[str]:
    if row["known"]:
        yield str(row["known"])
    if row["class"] == "reclaimable" and not row["known"]:
        yield "nobody refers to them: the kernel frees them when memory is short"
    if row["class"] in ("suspect", "growing"):
        yield _growth(row)
    if row["old"]:
        yield from _old(row)
    else:
        yield "no object is old enough to judge"
    if row["class"] in DOUBTED and row["doubt"] not in ("", row["known"]):
        yield str(row["doubt"])
    if not unknown(row["sibling_ns"]):
        yield f"freed objects of this stack lived {duration(row['sibling_ns'])} (median)"


def _growth(row: dict[Any, Any]) -> str:
    slope, low, high = (MINUTE * row[name] for name in ("growth_bytes_per_s", "growth_low", "growth_high"))
    every = f"one more every {duration(1e9 / row['rate_per_s'])}, " if row["rate_per_s"] > 0 else ""
    return f"{every}{size(slope)}/min ({size(max(low, 0))} to {size(high)})"


def _old(row: dict[Any, Any]) -> Iterator[str]:
    yield _freed(row)
    if row["class"] != "replacing":
        yield from _when(row)


def _freed(row: dict[Any, Any]) -> str:
    """How many of the objects that are old stay, and how many went."""
    aged = f"older than {duration(row['horizon_ns'])}"
    kept, died, gone = int(row["old"]), int(row["old_freed"]), round(row["older_freed"])
    if row["class"] == "replacing":
        return f"{count(kept)} stay that are {aged}, and {plural(gone, 'object')} from before went"
    before = f", and {count(gone)} from before the recording" if gone else ""
    verb = "was" if kept + died == 1 else "were"
    if row["of_task"] and died:
        return f"{count(kept)} stay that are {aged}; of all tasks, {count(died)} such were freed{before}"
    return f"{count(died)} of {plural(kept + died, 'object')} {aged} {verb} freed{before}"


def _when(row: dict[Any, Any]) -> Iterator[str]:
    """How they came."""
    if row["old"] < 2:
        return
    if row["class"] == "retained" and not row["known"]:
        if row["bursts"] or row["ended"]:
            yield "they came in a few bursts" if row["bursts"] else "they no longer come"
    elif row["class"] == "young":
        yield "too few to decide"
