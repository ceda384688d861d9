# SPDX-License-Identifier: Apache-2.0
"""Sparklines: a series as a small SVG of one line, its lowest value at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from slabtrace.render.terminal.text import escape as harmless

WIDTH, HEIGHT = 100, 20


def spark(values: Sequence[float], label: str, from_zero: bool = False) -> Markup:
    """`values`, evenly spaced, drawn in WIDTH by HEIGHT; `label` says what they are.

    `from_zero`: the bottom is zero, not the least value.
    """
    if not len(values):
        return Markup("")
    low = min(0.0, *values) if from_zero else min(values)
    height = max(values) - low
    step = WIDTH / max(len(values) - 1, 1)
    ys = [HEIGHT - (value - low) / height * HEIGHT if height else HEIGHT for value in values]
    line = " ".join(f"{i * step:.3g},{y:.3g}" for i, y in _needed(ys))
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<title>{label}</title><path class="area" d="M0,{h} L{line} L{w},{h} Z"/><path d="M{line}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=escape(harmless(label)), line=Markup(line))  # noqa: S704  numbers


def _needed(ys: Sequence[float]) -> list[tuple[int, float]]:
    """The points without those on a level line between their neighbours."""
    last = len(ys) - 1
    return [(i, y) for i, y in enumerate(ys) if i in (0, last) or not ys[i - 1] == y == ys[i + 1]]
