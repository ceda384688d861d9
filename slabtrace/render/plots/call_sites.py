# SPDX-License-Identifier: Apache-2.0
"""Outstanding bytes over time, stacked by call site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from slabtrace.render.plots.canvas import (
    QUIET,
    Notes,
    in_bytes,
    loss_legend,
    name,
    nothing,
    time_axis,
    titled,
)
from slabtrace.units import size

if TYPE_CHECKING:
    import pandas as pd

NAME_CELLS = 44


def draw_call_sites(held: pd.DataFrame, notes: Notes, title: str) -> Figure:
    """Draw the bytes of `held` (analysis' call_site_usage()); its last call site, all others, is grey."""
    figure = titled(title)
    axes = figure.subplots()
    axes.set_title("Outstanding bytes by call site")
    groups = [rows for _, rows in held.groupby(["call_site", "symbol"], sort=False)]
    if not groups:
        nothing(axes, "nothing was allocated")
        return figure
    levels = np.stack([rows["bytes_expected"].clip(lower=0).to_numpy(float) for rows in groups])
    divisor = in_bytes(axes, float(levels.sum(axis=0).max()))
    labels = [
        f"{name(rows['symbol'].iloc[0], NAME_CELLS)}, {size(rows['bytes'].iloc[-1])}" for rows in groups
    ]
    colours = [QUIET if rows["call_site"].iloc[0] == 0 else f"C{i}" for i, rows in enumerate(groups)]
    axes.stackplot(
        groups[0]["ts_ns"] / 1e9, levels / divisor, labels=labels, colors=colours, edgecolor="white", lw=0.3
    )
    time_axis(axes, notes)
    loss_legend(axes, notes)
    handles, words = axes.get_legend_handles_labels()
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    axes.legend(handles[::-1], words[::-1], loc="upper left", title="at the end:", alignment="left", ncols=2)
    return figure
