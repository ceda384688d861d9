# SPDX-License-Identifier: Apache-2.0
"""The judgement of a group in words: one sentence with the figures it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slabtrace.units import count, duration, plural, size, unknown

MINUTE = 60


def why(row: dict[Any, Any]) -> str:
    """`row`: a row of leaks.judge(), and `length_ns`, how long the recording lasted.

    As "grew 4.1 MiB/min (3.9 to 4.3) for 10 min 00 s; 0 of 9,311 objects older than 34 s were ever
    freed; came steadily; its freed siblings lived 2 ms".
    """
    return "; ".join(_clauses(row))


def _clauses(row: dict[Any, Any]) -> Iterator[str]:
    if row["known"]:
        yield str(row["known"])
    elif row["class"] == "reclaimable":
        yield "the kernel gives this cache's objects up when memory is short"
    yield _growth(row)
    if row["horizon_ns"]:
        reached = row["old"] + row["old_freed"]
        were = "was" if reached == 1 else "were"
        aged = f"{plural(reached, 'object')} older than {duration(row['horizon_ns'])} {were} ever freed"
        yield f"{count(row['old_freed'])} of {aged}"
        yield _coming(row)
    else:
        yield "nothing in it is old enough to judge"
    if not unknown(row["sibling_ns"]):
        yield f"its freed siblings lived {duration(row['sibling_ns'])} (median)"


def _growth(row: dict[Any, Any]) -> str:
    slope, low, high = (MINUTE * row[name] for name in ("growth_bytes_per_s", "growth_low", "growth_high"))
    if low > 0:
        return f"grew {size(slope)}/min ({size(low)} to {size(high)}) over {duration(row['length_ns'])}"
    if high < 0:
        return f"shrank {size(-slope)}/min over {duration(row['length_ns'])}"
    return f"no certain growth over {duration(row['length_ns'])}"


def _coming(row: dict[Any, Any]) -> str:
    """How the old objects came."""
    if row["old"] < 2:
        return "it came alone"
    if row["steadiness"] < 0.6:
        return "they came in a burst"
    if row["late_share"] < 0.25:
        return "fewer and fewer came"
    return "they came all along"
