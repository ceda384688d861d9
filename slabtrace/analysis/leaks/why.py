# SPDX-License-Identifier: Apache-2.0
"""Why a group has its class: one sentence with the figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slabtrace.units import count, duration, plural, size, unknown

MINUTE = 60


def why(row: dict[Any, Any]) -> str:
    """`row`: a row of leaks.judge(), and `length_ns`, how long the recording lasted.

    As "grew 4.1 MiB/min (3.9 MiB to 4.3 MiB) over 10 min 00 s; 0 of 9,311 objects older than 34 s were ever
    freed; they were allocated all along; freed objects of this group lived 2 ms (median)".
    """
    return "; ".join(_clauses(row))


def _clauses(row: dict[Any, Any]) -> Iterator[str]:
    if row["known"]:
        yield str(row["known"])
    elif row["class"] == "reclaimable":
        yield "the kernel shrinks this cache when memory is short (an object in use stays)"
    yield _growth(row)
    if row["horizon_ns"]:
        reached = row["old"] + row["old_freed"]
        were = "was" if reached == 1 else "were"
        aged = f"{plural(reached, 'object')} older than {duration(row['horizon_ns'])} {were} ever freed"
        yield f"{count(row['old_freed'])} of {aged}"
        yield _when(row)
    else:
        yield "no object is old enough to judge"
    if not unknown(row["sibling_ns"]):
        yield f"freed objects of this group lived {duration(row['sibling_ns'])} (median)"


def _growth(row: dict[Any, Any]) -> str:
    slope, low, high = (MINUTE * row[name] for name in ("growth_bytes_per_s", "growth_low", "growth_high"))
    if low > 0:
        return f"grew {size(slope)}/min ({size(low)} to {size(high)}) over {duration(row['length_ns'])}"
    if high < 0:
        return f"shrank {size(-slope)}/min over {duration(row['length_ns'])}"
    return f"no certain growth over {duration(row['length_ns'])}"


def _when(row: dict[Any, Any]) -> str:
    """When the old objects were allocated."""
    if row["old"] < 2:
        return "it is the only one"
    if row["steadiness"] < 0.6:
        return "they were allocated in a burst"
    if row["late_share"] < 0.25:
        return "fewer and fewer were allocated"
    return "they were allocated all along"
