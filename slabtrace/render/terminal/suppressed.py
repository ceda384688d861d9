# SPDX-License-Identifier: Apache-2.0
"""Text about suppressions: what each one matched, and which matched nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TextIO

from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import plural, size


class Used(Protocol):
    """analysis.rules.suppressions.Used."""

    name: str
    groups: int
    objects: int
    bytes: int


def write_suppressed(out: TextIO, used: Sequence[Used], noun: str = "group") -> None:
    """Write a line for each suppression; nothing if there are none.  `noun`: what one of them matches."""
    if used:
        out.write("\n")
    for each in used:
        if each.groups:
            held = f"{plural(each.groups, noun)}, {plural(each.objects, 'object')}, {size(each.bytes)}"
            write_paragraph(out, f"suppressed: {each.name}: {held}")
        else:
            write_paragraph(out, f"suppressed: {each.name}: matched nothing; is it still needed?")
