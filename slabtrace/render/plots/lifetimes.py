# SPDX-License-Identifier: Apache-2.0
"""How long objects lived: a histogram on a logarithmic axis, stacked by cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from slabtrace.render.plots.canvas import LINES, QUIET, name, nothing, titled
from slabtrace.units import count, duration, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HATCHES = ("", "", "", "//", "", "", "..", "xx")  # besides the colour, for colours that look alike in print


def draw_lifetimes(histogram: pd.DataFrame, title: str, top: int = LINES - 1) -> Figure:
    """Draw `histogram` (analysis' lifetime_histogram()): the `top` caches, and all others in grey.

    Only objects that were allocated and freed while recording have a lifetime.
    """
    figure = titled(title)
    axes = figure.subplots()
    axes.set_title("Lifetimes of the objects that were allocated and freed while recording")
    if histogram.empty:
        nothing(axes, "nothing was both allocated and freed")
        return figure
    _draw_bars(axes, histogram, top)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.set_xlabel("lifetime")
    axes.set_ylabel("objects")
    axes.legend(loc="upper right")
    return figure


def _draw_bars(axes: Axes, histogram: pd.DataFrame, top: int) -> None:
    edges = np.unique(histogram[["from_ns", "to_ns"]].to_numpy())
    totals = histogram.groupby("cache")["objects"].sum().sort_values(ascending=False)
    shown = totals.head(top).index.tolist()
    series = [
        (name(key), histogram[histogram["cache"] == key], f"C{i}", HATCHES[i]) for i, key in enumerate(shown)
    ]
    rest = histogram[~histogram["cache"].isin(shown)]
    if len(rest):
        series.append((f"{len(totals) - len(shown)} others", rest, QUIET, ""))
    below = np.zeros(len(edges) - 1)
    for label, rows, colour, hatch in series:
        height = np.zeros(len(edges) - 1)
        np.add.at(height, np.searchsorted(edges, rows["from_ns"]), rows["objects"])
        share = percent(height.sum() / totals.sum())
        axes.bar(
            edges[:-1], height, np.diff(edges), below, align="edge", color=colour, hatch=hatch,
            edgecolor="white", linewidth=0.3, label=f"{label} ({share})",
        )  # fmt: skip
        below += height
