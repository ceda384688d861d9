# SPDX-License-Identifier: Apache-2.0
"""The parts of a machine's memory over time, stacked: how the kernel's own changed, and all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from slabtrace.analysis.memory.parts import CACHE, FREE, HUGE, NAMES, SHARED, USER
from slabtrace.render.plots.canvas import (
    QUIET,
    Notes,
    in_bytes,
    legend_right,
    name,
    nothing,
    time_axis,
    titled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF_PROCESSES = (USER, SHARED, CACHE, HUGE)  # what processes and files take; the rest is the kernel's own
KERNEL = "the kernel's own"


def draw_memory(memory: pd.DataFrame, notes: Notes, title: str) -> Figure:
    """Draw `memory` (rows of Trace.memory()).

    Above: the change of each part of the kernel's own memory since the start, growth stacked upwards and
    shrinking downwards.  Below: all memory that is not free, the kernel's own as one.
    """
    figure = titled(title)
    above, below = figure.subplots(2, 1, height_ratios=(3, 2), sharex=True)
    levels = _levels(memory)
    if levels is None or len(levels) < 2:
        nothing(above, "the kernel's counters of memory were not recorded")
        below.set_axis_off()
        return figure
    own = [part for part in levels if part not in (*OF_PROCESSES, FREE)]
    _stack(above, levels[own] - levels[own].iloc[0], signed=True)
    above.set_title("The kernel's own memory: change since the start")
    above.axhline(0, color=QUIET, linewidth=0.8)
    time_axis(above, notes)
    above.set_xlabel("")
    kernel = levels[own].sum(axis=1).clip(lower=0).rename(KERNEL).to_frame()
    others = levels[[part for part in OF_PROCESSES if part in levels]].clip(lower=0)
    _stack(below, kernel.join(others), signed=False)
    below.set_title("All memory that is not free")
    time_axis(below, notes, labelled=False)
    below.set_xlabel("seconds since the start")
    return figure


def _levels(memory: pd.DataFrame) -> pd.DataFrame | None:
    """A column for each part that is known at every time, a row for each time."""
    if not len(memory):
        return None
    wide = memory.pivot_table(index="ts_ns", columns="part", values="bytes", aggfunc="last", sort=True)
    known = [part for part in NAMES if part in wide and wide[part].notna().all()]
    return wide[known] if FREE in known else None


def _stack(axes: Axes, levels: pd.DataFrame, signed: bool) -> None:
    up, down = levels.clip(lower=0), levels.clip(upper=0)
    largest = max(float(up.sum(axis=1).max()), float(-down.sum(axis=1).min()))
    divisor = in_bytes(axes, largest, signed=signed)
    seconds = levels.index.to_numpy() / 1e9
    for half in (up, down):
        base = np.zeros(len(seconds))
        for i, part in enumerate(levels.columns):
            top = base + half[part].to_numpy() / divisor
            label = name(part) if half is up else None
            axes.fill_between(seconds, base, top, step="post", color=f"C{i}", linewidth=0, label=label)
            base = top
    legend_right(axes)
