# SPDX-License-Identifier: Apache-2.0
"""Stacks merged into a tree of functions: what flame graphs draw and profiles are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd

_OFFSET = re.compile(r"\+0x[0-9a-f]+(?=$| \[| \()")

# What may be counted, and the prefix of its columns in analysis' stack_totals().
WHAT = {"outstanding": "outstanding", "allocated": "allocated", "churn": "freed"}
UNITS = ("bytes", "objects")
ROOT = "all"


@dataclass
class Node:
    """A function called by its parent node: bytes and objects of it and all it called."""

    name: str
    bytes: int = 0
    objects: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    def value(self, unit: str) -> int:
        """`bytes` or `objects`."""
        return self.bytes if unit == "bytes" else self.objects


def without_offset(symbol: str) -> str:
    """A symbol without its offset, harmless: "load_msg+0x71 [ipc]" as "load_msg [ipc]"."""
    return escape(_OFFSET.sub("", symbol))


def frames(stack: Sequence[str], cache: str) -> list[str]:
    """The functions of `stack` (innermost first) from the outermost on; last the slab cache, in brackets."""
    return [*(without_offset(symbol) for symbol in reversed(stack)), f"[{escape(cache)}]"]


def weighted(totals: pd.DataFrame, what: str, unit: str) -> Iterator[tuple[list[str], int]]:
    """(frames, value) of each row of `totals` (analysis' stack_totals()) with a value."""
    values = totals[f"{WHAT[what]}_{unit}"].tolist()
    for stack, cache, value in zip(totals["stack"], totals["cache"], values, strict=True):
        if value:
            yield frames(stack, cache), value


def stack_tree(totals: pd.DataFrame, what: str) -> Node:
    """The tree of all rows of `totals` (analysis' stack_totals()) with `what` (a key of WHAT)."""
    root = Node(ROOT)
    columns = (totals[f"{WHAT[what]}_{unit}"].tolist() for unit in UNITS)
    for stack, cache, number, objects in zip(totals["stack"], totals["cache"], *columns, strict=True):
        if objects:
            _add(root, frames(stack, cache), number, objects)
    return root


def _add(root: Node, path: Sequence[str], number: int, objects: int) -> None:
    node = root
    node.bytes, node.objects = node.bytes + number, node.objects + objects
    for name in path:
        node = node.children.setdefault(name, Node(name))
        node.bytes, node.objects = node.bytes + number, node.objects + objects
