# SPDX-License-Identifier: Apache-2.0
"""Allocations by size of object over time, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from slabtrace.render.plots.canvas import Notes, loss_legend, nothing, time_axis, titled
from slabtrace.units import rate, size

if TYPE_CHECKING:
    import pandas as pd

COLOURS = "cividis"  # even steps of lightness, the same to colour-blind readers
TIMES = 150  # columns of the map at most


def draw_sizes(classes: pd.DataFrame, notes: Notes, title: str) -> Figure:
    """Draw `classes` (analysis' size_classes()): allocations per second of each class over time."""
    figure = titled(title)
    axes = figure.subplots()
    axes.set_title(
        "Allocations per second by size of object (bytes handed out, rounded up to a power of two)"
    )
    table = classes.pivot(index="size_class", columns="ts_ns", values="allocs").sort_index()
    table = table[(table > 0).any(axis=1)]
    if table.empty:
        nothing(axes, "nothing was allocated")
        return figure
    counts, edges = _coarser(table.to_numpy(float), table.columns.to_numpy() / 1e9)
    rates = np.ma.masked_equal(counts / np.diff(edges), 0)
    rows = np.arange(len(table) + 1) - 0.5
    norm = LogNorm(max(rates.min(), 1e-3), max(rates.max(), rates.min() * 10))
    mesh = axes.pcolormesh(edges, rows, rates, cmap=COLOURS, norm=norm, rasterized=True)
    axes.set_yticks(np.arange(len(table)), [size(each) for each in table.index])
    axes.grid(visible=False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.01)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value)))
    bar.outline.set_visible(False)
    time_axis(axes, notes)
    loss_legend(axes, notes)
    return figure


def _coarser(counts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(counts, edges in s): neighbouring columns summed until TIMES are left at most."""
    together = max(-(-len(ends) // TIMES), 1)
    starts = np.arange(0, len(ends), together)
    edges = np.append(0, ends[np.minimum(starts + together, len(ends)) - 1])
    return np.add.reduceat(counts, starts, axis=1), edges
