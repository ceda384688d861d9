# SPDX-License-Identifier: Apache-2.0
"""Pictures of slab usage over time; the only module that imports matplotlib.

The style (colours, sizes, fonts) is reports/slabtrace.mplstyle.  Tables come aggregated from the
analysis: nothing here grows with the number of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from matplotlib import style
from matplotlib.figure import Figure  # without pyplot: no display, no global state
from matplotlib.ticker import FuncFormatter, MaxNLocator

from slabtrace.render.text import elide, escape
from slabtrace.render.units import byte_unit
from slabtrace.resources import reports_dir

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

STYLE = "slabtrace.mplstyle"
PANELS = 6  # caches with a panel of their own: two rows of three stay readable at 1200x700
LINES = 8  # caches in the overview: the palette's colours
NAME_CELLS = 28


def draw_usage(usage: pd.DataFrame, title: str, out: BinaryIO, file_format: str, top: int = LINES) -> None:
    """Draw the caches of `usage` (analysis' usage()) whose bytes moved most, and write it to `out`.

    Above, each cache's bytes as a change since the recording's start, on one axis; below, each
    one's objects on an axis of its own: the traced count on the kernel's baseline, the objects its
    slabs have room for (`num_objs`) behind it.  `file_format`: "png" or "svg".  `top`: at most so
    many caches (up to 8).
    """
    with style.context(reports_dir() / STYLE):
        series = _by_peak_change(usage, min(top, LINES))
        figure = Figure()
        figure.suptitle(escape(title), x=0.01, ha="left", fontsize=13)
        _draw(figure, series)
        # No date and no random ids: the same trace gives the same bytes.
        figure.savefig(out, format=file_format, metadata={"Date": None} if file_format == "svg" else None)


def _draw(figure: Figure, series: Sequence[tuple[str, pd.DataFrame]]) -> None:
    panels = series[:PANELS]
    columns = 3 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    halves = figure.subfigures(2, 1, height_ratios=(1, 0.62 * max(rows, 1)), squeeze=False)
    _draw_overview(halves[0, 0].subplots(), series)
    halves[1, 0].suptitle(
        "Objects in use (grey: what their slabs have room for)" if panels else "",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    grid = halves[1, 0].subplots(max(rows, 1), columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i < len(panels):
            _draw_panel(axes, *panels[i], colour=f"C{i}")
        else:
            axes.set_axis_off()


def _by_peak_change(usage: pd.DataFrame, top: int) -> list[tuple[str, pd.DataFrame]]:
    """The `top` caches, most moved first: (name, its rows in time order)."""
    groups = [(str(name), rows.sort_values("ts_ns")) for name, rows in usage.groupby("cache", sort=True)]
    groups.sort(key=lambda group: _swing(group[1]["bytes"]), reverse=True)
    return groups[:top]


def _swing(values: pd.Series[float]) -> float:
    return float(values.max() - values.min())


def _draw_overview(axes: Axes, series: Sequence[tuple[str, pd.DataFrame]]) -> None:
    power, unit = byte_unit(max((_swing(rows["bytes"]) for _, rows in series), default=0))
    for i, (name, rows) in enumerate(series):
        change = (rows["bytes"] - rows["bytes"].iloc[0]) / 1024**power
        axes.plot(rows["ts_ns"] / 1e9, change, drawstyle="steps-post", color=f"C{i}", label=_name(name))
    axes.set_title("Bytes in use, change since the start")
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+,g}" if value else "0"))
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set_xlabel("seconds")
    axes.margins(x=0)
    if series:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        axes.text(0.5, 0.5, "nothing was allocated or freed", transform=axes.transAxes, ha="center")


def _draw_panel(axes: Axes, name: str, rows: pd.DataFrame, colour: str) -> None:
    seconds = rows["ts_ns"] / 1e9
    axes.plot(seconds, rows["objects"], drawstyle="steps-post", color=colour)
    low, high = float(rows["objects"].min()), float(rows["objects"].max())
    if "num_objs" in rows and rows["num_objs"].notna().any():
        axes.fill_between(seconds, rows["num_objs"], step="post", color="#eeeeee", zorder=0)
        high = max(high, min(float(rows["num_objs"].max()), high + 2 * (high - low)))
    margin = max((high - low) * 0.08, 1)
    axes.set_ylim(max(low - margin, 0) if low >= 0 else low - margin, high + margin)
    axes.set_title(_name(name), fontsize=10)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8)
    axes.margins(x=0)


def _name(cache: str) -> str:
    """A cache's name as shown: harmless and short; matplotlib hides labels that start with _."""
    shown = elide(escape(cache), NAME_CELLS)
    return f" {shown}" if shown.startswith("_") else shown
