# SPDX-License-Identifier: Apache-2.0
"""Rows of Trace.leaks() and Trace.findings() as a test needs them: plain values, each can be replaced."""

from __future__ import annotations

from typing import Any

import pandas as pd

STACK = ["load_msg+0x41", "do_msgsnd+0x8c", "entry+0x76"]
SIZE = 128  # bytes of an object
SECOND = 10**9

COLUMNS = [
    "rank", "class", "cache", "symbol", "stack", "module", "outstanding", "objects", "bytes_alloc",
    "rate_per_s", "rate_low", "rate_high", "growth_bytes_per_s", "growth_low", "growth_high", "dispersion",
    "oldest_ns", "newest_ns", "stacks", "own", "finding", "why", "next", "object", "alias",
    "aliases", "parts",
]  # fmt: skip


def group(
    outstanding: int, stack: list[str] = STACK, rate: float = 0.0, error: float = 0.0, **fields: Any
) -> dict[str, Any]:
    """A group of leaks(); objects of SIZE come at `rate` a second, +- `error` (95 %).

    It is a suspect if it has a rate, otherwise retained: all objects came in the first second.
    """
    rates = {"per_s": rate, "low": rate - error, "high": rate + error}
    return {
        "cache": "msg_msg-128",
        "symbol": stack[0] if stack else "",
        "stack": stack,
        "module": "",
        "class": "suspect" if rate else "retained",
        "outstanding": outstanding,
        "objects": outstanding,
        "bytes_alloc": SIZE * outstanding,
        **{f"rate_{end}": value for end, value in rates.items()},
        "growth_bytes_per_s": SIZE * rates["per_s"],
        "growth_low": SIZE * rates["low"],
        "growth_high": SIZE * rates["high"],
        "dispersion": 1.0,
        "oldest_ns": 0,
        "newest_ns": SECOND,
        "stacks": 1,
        "own": False,
        "finding": 1,
        "why": "because",
        "next": "look at the stack",
        "object": "",
        "alias": "",
        "aliases": [],
        "whose": "",
        "parts": ["msg_msg-128"],
    } | fields


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Groups as leaks(), or findings() where each group is one, returns them: ranked in the order given."""
    ranked = [{"rank": rank, **row} for rank, row in enumerate(rows, 1)]
    return pd.DataFrame(ranked, columns=COLUMNS)
