# SPDX-License-Identifier: Apache-2.0
"""What the memory of each cache's slabs is used for: asked for, rounded up, free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from slabtrace.render.plots.canvas import QUIET, ROOM, name, nothing, titled
from slabtrace.units import byte_unit, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 16
NAME_CELLS = 24


class Part(NamedTuple):
    """A part of a bar: its column, label and colour."""

    column: str
    words: str
    colour: str


PARTS = (
    Part("asked", "asked for", "C0"),
    Part("rounded", "rounded up", "C1"),
    Part("free", "free in the slabs", ROOM),
)


def draw_fragmentation(usage: pd.DataFrame, caches: pd.DataFrame, title: str) -> Figure:
    """Draw what the slabs of the largest caches hold at the end, in bytes and as shares.

    `usage`, `caches`: analysis' usage() and caches().  In use is what the kernel counts as in use, parked
    objects included.  The share that is rounded up is taken from the traced allocations, because the
    requested sizes of older objects are not known.
    """
    figure = titled(title)
    left, right = figure.subplots(1, 2, sharey=True)
    table = _table(usage, caches).head(BARS).iloc[::-1]
    power, unit = byte_unit(float(table["reserved"].max()) if len(table) else 0)
    _draw_bars(left, table, np.full(len(table), 1024.0**power))
    _draw_bars(right, table, table["reserved"].to_numpy(float))
    left.set_title("Slab pages at the end of the recording")
    left.set_xlabel(f"{unit} of slab pages")
    right.set_title("Share of these pages that is used")
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.set_xlabel("the kernel counts objects parked on a CPU as used")
    if table.empty:
        nothing(left, "the trace has no slabinfo")
    else:
        left.legend(loc="lower right")
        left.set_yticks(np.arange(len(table)), [_label(row) for row in table.to_dict("records")], fontsize=9)
    return figure


def _table(usage: pd.DataFrame, caches: pd.DataFrame) -> pd.DataFrame:
    """Each cache's reserved bytes at the end in parts, largest first."""
    last = usage.sort_values("ts_ns").groupby("cache", sort=True).tail(1)
    table = last[last["reserved"] > 0].merge(caches[["cache", "bytes_alloc", "waste_bytes"]], on="cache")
    used = table["reserved"] * (table["active_objs"] / table["num_objs"].clip(lower=1)).clip(0, 1)
    table["rounded"] = used * table["waste_bytes"] / table["bytes_alloc"].clip(lower=1)
    table["asked"], table["free"] = used - table["rounded"], table["reserved"] - used
    return table.sort_values("reserved", ascending=False, kind="stable")


def _draw_bars(axes: Axes, table: pd.DataFrame, unit: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """The parts of each cache, in `unit` (bytes, of shape (n,))."""
    before = np.zeros(len(table))
    for part in PARTS:
        width = table[part.column].to_numpy(float) / unit
        axes.barh(
            np.arange(len(table)), width, left=before, color=part.colour, label=part.words,
            edgecolor=QUIET, linewidth=0.4,
        )  # fmt: skip
        before = before + width
    axes.grid(axis="y", visible=False)


def _label(row: dict[Any, Any]) -> str:
    return f"{name(row['cache'], NAME_CELLS)}, {size(row['reserved'])}"
