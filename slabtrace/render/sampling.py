# SPDX-License-Identifier: Apache-2.0
"""What the stack shown with a group stands for, where not all its objects have one (sampled_stacks.py)."""

from __future__ import annotations

from typing import Any

from slabtrace.units import count, plural


def stack_of(group: dict[Any, Any]) -> str:
    """ "the stack of 41 of the 44 that were drawn for one; 2 others seen here", "" where all have it."""
    outstanding, stacked, mine = (int(group[name]) for name in ("outstanding", "stacked", "stack_of"))
    others = int(group["stacks"]) - 1
    if not group["stack"] or mine == outstanding:
        return ""
    if not stacked:
        told = "a stack of this call site; none of these objects was drawn for one"
    elif mine == stacked:
        told = f"the stack of all {count(stacked)} of them that were drawn for one"
    else:
        told = f"the stack of {count(mine)} of the {count(stacked)} that were drawn for one"
    return told + (f"; {plural(others, 'other')} seen here" if others > 0 else "")
