# SPDX-License-Identifier: Apache-2.0
"""Text about samples: of stacks (record --stacks auto), and of addresses (record --sample)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slabtrace.units import count


def estimated(row: Mapping[Any, Any], name: str) -> str:
    """The number `name` of a row; of a sample, the estimate for all objects and its error: "~368 ±180"."""
    if f"{name}_estimate" not in row:
        return count(row[name])
    return f"~{count(row[f'{name}_estimate'])} ±{count(row[f'{name}_error'])}"


def stack_of(group: dict[Any, Any]) -> str:
    """How many of a group have the stack shown: "stacks were sampled: 2 of 23 have one, all the same".

    "" where all of them have it.
    """
    outstanding, stacked, mine = (int(group[name]) for name in ("outstanding", "stacked", "stack_of"))
    if not group["stack"] or mine == outstanding:
        return ""
    if not stacked:  # the stack shown is a freed object's
        only = "the only stack" if group["stacks"] == 1 else f"one of {count(group['stacks'])} stacks"
        none = f"stacks were sampled: none of {count(outstanding)} has one"
        return f"{none}; this is {only} seen at this call site"
    have = "has" if stacked == 1 else "have"
    found = f"stacks were sampled: {count(stacked)} of {count(outstanding)} {have} one"
    if mine < stacked:
        return f"{found}, {count(mine)} of them this one"
    return found if stacked == 1 else f"{found}, all the same"
