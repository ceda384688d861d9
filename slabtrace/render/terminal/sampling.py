# SPDX-License-Identifier: Apache-2.0
"""What a sample stands for: of stacks (sampled_stacks.py), and of addresses (counting/sampling.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slabtrace.units import count


def estimated(row: Mapping[Any, Any], name: str) -> str:
    """The number `name` of a row; of a sample what it stands for, within what error: "~368 ±180"."""
    if f"{name}_estimate" not in row:
        return count(row[name])
    return f"~{count(row[f'{name}_estimate'])} ±{count(row[f'{name}_error'])}"


def stack_of(group: dict[Any, Any]) -> str:
    """ "one of 3 stacks seen at this call site; 41 of the 1,203 are known to have it, 3 another".

    "" where all have it.
    """
    outstanding, stacked, mine = (int(group[name]) for name in ("outstanding", "stacked", "stack_of"))
    if not group["stack"] or mine == outstanding:
        return ""
    which = "the only stack" if group["stacks"] == 1 else f"one of {count(group['stacks'])} stacks"
    known = "is" if mine == 1 else "are"
    others = f", {count(stacked - mine)} another" if stacked > mine else ""
    of_all = f"{count(mine) if mine else 'none'} of the {count(outstanding)}"
    return f"{which} seen at this call site; {of_all} {known} known to have it{others}"
