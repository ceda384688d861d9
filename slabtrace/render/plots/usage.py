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
PARTS_SAY = "Objects in use, only of those that were recorded ({})"
BAND_SAYS = "tinted: frees that were missed came somewhere in it"
PANELS = 6  # caches with a panel of their own: two rows of three stay readable at 1200x700


def draw_usage(usage: pd.DataFrame, notes: Notes, title: str, top: int = LINES) -> Figure:
    """Draw the caches of `usage` (analysis' usage()) whose bytes changed most, at most `top` (up to LINES).

    Above: the change of each cache's bytes since the start, on one axis.  Below: each cache's objects on an
    axis of its own.  The line is the traced count, which starts at the kernel's count; dots are the kernel's
    own count (`active_objs`): where the line leaves them, the trace lacks events.  The grey area is the
    objects that the slabs have room for (`room`); the title gives them in bytes of pages (`reserved`).
    Where frees were missed, the true count lies in the tinted band, and the line is what to expect there.
    A recording of some objects of a cache (`notes.partial`) has neither dots nor room, which are of all.
    """
    usage = _above_zero(usage)
    usage = usage.assign(least=usage["objects"] - usage["maybe_freed"], most=usage["objects"])
    usage = usage if notes.partial else _within_room(usage)
    series = by_swing(usage, "bytes_expected", min(top, LINES))
    figure = titled(title)
    panels = series[:PANELS]
    columns = 3 if len(panels) > 1 else 1
    rows = max(-(-len(panels) // columns), 1)
    halves = figure.subfigures(2, 1, height_ratios=(1, 0.62 * rows), squeeze=False)
    _draw_overview(halves[0, 0].subplots(), series, notes)
    halves[1, 0].suptitle(_panels_say([rows for _, rows in panels], notes), x=0.01, ha="left", fontsize=11)
    for i, axes in enumerate(halves[1, 0].subplots(rows, columns, squeeze=False).flat):
        if i < len(panels):
            _draw_panel(axes, *panels[i], notes, colour=f"C{i}")
        else:
            axes.set_axis_off()
    return figure


def _above_zero(usage: pd.DataFrame) -> pd.DataFrame:
    """Lines of caches without a count of the kernel, raised to 0: as many older objects were freed."""
    usage = usage.copy()
    for columns in (("objects", "objects_expected"), ("bytes", "bytes_expected")):
        least = usage.groupby("cache")[columns[1]].transform("min")
        lacking = (-least).clip(lower=0).where(usage["active_objs"].isna(), 0)
        for column in columns:
            usage[column] += np.ceil(lacking).astype(np.int64)
    return usage


def _within_room(usage: pd.DataFrame) -> pd.DataFrame:
    """Caches with missed frees: no end of the band is above the room, and the line keeps its place in it.

    More cannot be in use: the frees of some that are still outstanding were missed, too.
    """
    objects, expected = usage["objects"], usage["objects_expected"]
    missed = usage.groupby("cache")["maybe_freed"].transform("max") > 0
    room = usage["room"].where(missed)
    least, most = np.fmin(usage["least"], room), np.fmin(objects, room)
    place = (expected - usage["least"]) / usage["maybe_freed"].clip(lower=1)
    line = least + place * (most - least)
    each = usage["bytes"] / objects.clip(lower=1)
    cut = usage["bytes_expected"] - (expected - line) * each
    return usage.assign(least=least, most=most, objects_expected=line, bytes_expected=cut)


def _panels_say(panels: Sequence[pd.DataFrame], notes: Notes) -> str:
    if not panels:
        return ""
    said = PARTS_SAY.format(notes.partial) if notes.partial else PANELS_SAY
    banded = any((rows["maybe_freed"] > 0).any() for rows in panels)
    return f"{said.removesuffix(')')}; {BAND_SAYS})" if banded else said


def _draw_overview(axes: Axes, series: Sequence[tuple[str, pd.DataFrame]], notes: Notes) -> None:
    largest = max((swing(rows["bytes_expected"]) for _, rows in series), default=0)
    divisor = in_bytes(axes, largest, signed=True)
    for key, rows in series:
        change = (rows["bytes_expected"] - rows["bytes_expected"].iloc[0]) / divisor
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
    seconds, line = rows["ts_ns"] / 1e9, rows["objects_expected"]
    axes.plot(seconds, line, drawstyle="steps-post", color=colour, linestyle="-")
    low, high = float(line.min()), float(line.max())
    if (rows["maybe_freed"] > 0).any():
        band = rows["least"], rows["most"]
        axes.fill_between(seconds, *band, step="post", color=colour, alpha=0.25, linewidth=0)
        low, high = float(band[0].min()), float(band[1].max())
    if not notes.partial:
        low, high = _draw_kernels_count(axes, rows, low, high)
    margin = max((high - low) * 0.08, 1)
    axes.set_ylim(max(low - margin, 0), high + margin)
    axes.set_title(_panel_title(key, rows, notes), fontsize=10)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8)
    time_axis(axes, notes, labelled=False)


def _draw_kernels_count(axes: Axes, rows: pd.DataFrame, low: float, high: float) -> tuple[float, float]:
    """Dots and the grey room; `low` and `high` of all, without more room than is of interest."""
    counted = rows[rows["active_objs"].ne(rows["active_objs"].shift())]  # a dot for each change
    axes.plot(counted["ts_ns"] / 1e9, counted["active_objs"], ".", color=DOTS, markersize=4, linestyle="")
    room = rows["room"]
    if room.notna().any():
        low, high = min(low, float(rows["active_objs"].min())), max(high, float(rows["active_objs"].max()))
        axes.fill_between(rows["ts_ns"] / 1e9, room, step="post", color=ROOM, zorder=0, linewidth=0)
        high = max(high, min(float(room.max()), high + 2 * (high - low)))
    return low, high


def _panel_title(key: str, rows: pd.DataFrame, notes: Notes) -> str:
    reserved = rows["reserved"].iloc[-1]
    return (
        name(key) if notes.partial or reserved != reserved else f"{name(key, 20)}, {size(reserved)} reserved"
    )
