# SPDX-License-Identifier: Apache-2.0
"""Each cache's usage over time: the change of its bytes, and its objects beside the room of its slabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from slabtrace.render.plots.canvas import (
    LINES,
    QUIET,
    ROOM,
    Notes,
    by_swing,
    in_bytes,
    legend_right,
    loss_legend,
    name,
    nothing,
    swing,
    time_axis,
    titled,
)
from slabtrace.units import size

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DOTS = "#555555"
PANELS_SAY = "Objects in use (line: traced; dots: the kernel's own count; grey: room in the cache's slabs)"
PANELS = 6  # caches with a panel of their own: two rows of three stay readable at 1200x700


def draw_usage(usage: pd.DataFrame, notes: Notes, title: str, top: int = LINES) -> Figure:
    """Draw the caches of `usage` (analysis' usage()) whose bytes changed most, at most `top` (up to LINES).

    Above: the change of each cache's bytes since the start, on one axis.  Below: each cache's objects on an
    axis of its own.  The line is the traced count, which starts at the kernel's count; dots are the kernel's
    own count (`active_objs`): where the line leaves them, the trace lacks events.  The grey area is the
    objects that the slabs have room for (`num_objs`); the title gives them in bytes of pages (`reserved`).
    """
    series = by_swing(usage, "bytes", min(top, LINES))
    figure = titled(title)
    panels = series[:PANELS]
    columns = 3 if len(panels) > 1 else 1
    rows = max(-(-len(panels) // columns), 1)
    halves = figure.subfigures(2, 1, height_ratios=(1, 0.62 * rows), squeeze=False)
    _draw_overview(halves[0, 0].subplots(), series, notes)
    halves[1, 0].suptitle(
        PANELS_SAY if panels else "",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    for i, axes in enumerate(halves[1, 0].subplots(rows, columns, squeeze=False).flat):
        if i < len(panels):
            _draw_panel(axes, *panels[i], notes, colour=f"C{i}")
        else:
            axes.set_axis_off()
    return figure


def _draw_overview(axes: Axes, series: Sequence[tuple[str, pd.DataFrame]], notes: Notes) -> None:
    divisor = in_bytes(axes, max((swing(rows["bytes"]) for _, rows in series), default=0), signed=True)
    for key, rows in series:
        change = (rows["bytes"] - rows["bytes"].iloc[0]) / divisor
        axes.plot(rows["ts_ns"] / 1e9, change, drawstyle="steps-post", label=name(key))
    axes.set_title("Bytes in use, change since the start")
    axes.axhline(0, color=QUIET, linewidth=0.8)
    time_axis(axes, notes)
    loss_legend(axes, notes)
    if series:
        legend_right(axes)
    else:
        nothing(axes, "nothing was allocated or freed")


def _draw_panel(axes: Axes, key: str, rows: pd.DataFrame, notes: Notes, colour: str) -> None:
    seconds = rows["ts_ns"] / 1e9
    axes.plot(seconds, rows["objects"], drawstyle="steps-post", color=colour, linestyle="-")
    counted = rows[rows["active_objs"].ne(rows["active_objs"].shift())]  # a dot for each change
    axes.plot(counted["ts_ns"] / 1e9, counted["active_objs"], ".", color=DOTS, markersize=4, linestyle="")
    seen = rows[["objects", "active_objs"]].to_numpy(float)
    low, high, room = float(np.nanmin(seen)), float(np.nanmax(seen)), rows["num_objs"]
    if room.notna().any():
        axes.fill_between(seconds, room, step="post", color=ROOM, zorder=0, linewidth=0)
        high = max(high, min(float(room.max()), high + 2 * (high - low)))
    margin = max((high - low) * 0.08, 1)
    axes.set_ylim(max(low - margin, 0) if low >= 0 else low - margin, high + margin)
    axes.set_title(_panel_title(key, rows), fontsize=10)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8)
    time_axis(axes, notes, labelled=False)


def _panel_title(key: str, rows: pd.DataFrame) -> str:
    reserved = rows["reserved"].iloc[-1]
    return name(key) if reserved != reserved else f"{name(key, 20)}, {size(reserved)} reserved"
