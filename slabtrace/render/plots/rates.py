# SPDX-License-Identifier: Apache-2.0
"""Allocations and frees per second over time, of the busiest caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from slabtrace.render.plots.canvas import (
    LINES,
    QUIET,
    Notes,
    in_rates,
    legend_right,
    loss_legend,
    name,
    nothing,
    time_axis,
    titled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SMOOTHED_TO = 200  # points of a line: 600 buckets of a busy cache are a band, not a line


def draw_rates(usage: pd.DataFrame, notes: Notes, title: str, top: int = LINES - 1) -> Figure:
    """Draw allocs_per_s above frees_per_s of `usage` (analysis' usage()) on equal axes.

    The `top` caches with most allocations each have a line; the dotted grey one is all caches together.
    Frees that were missed are spread over the time in which they came (usage's objects_expected): they would
    else all seem to come when the slabs were asked at the end.
    """
    usage = _with_missed_frees_spread(usage)
    figure = titled(title)
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    busiest = usage.groupby("cache")["allocs"].sum().sort_values(ascending=False).head(top).index.tolist()
    for axes, column, words in (
        (above, "allocs_per_s", "Allocations per second"),
        (below, "frees_per_s", "Frees per second"),
    ):
        _draw_lines(axes, usage, busiest, column)
        axes.set_title(words)
        time_axis(axes, notes, labelled=axes is below)
    in_rates(above)
    loss_legend(above, notes)
    if busiest:
        legend_right(above)
    else:
        nothing(above, "nothing was allocated or freed")
    return figure


def _with_missed_frees_spread(usage: pd.DataFrame) -> pd.DataFrame:
    usage = usage.sort_values(["cache", "ts_ns"], kind="stable")
    cache = usage["cache"]
    seconds = usage.groupby(cache)["ts_ns"].diff().fillna(usage["ts_ns"]) / 1e9
    later = usage["objects"] - usage["objects_expected"]  # these count as freed, though not yet inferred
    moved = later.groupby(cache).diff().fillna(later)
    return usage.assign(frees_per_s=(usage["frees_per_s"] + moved / seconds.clip(lower=1e-9)).clip(lower=0))


def _draw_lines(axes: Axes, usage: pd.DataFrame, caches: list[str], column: str) -> None:
    for key in caches:
        seconds, rates = _coarser(usage[usage["cache"] == key].set_index("ts_ns")[column])
        axes.plot(seconds, rates, label=name(key))
    if caches:
        seconds, rates = _coarser(usage.groupby("ts_ns")[column].sum())
        axes.plot(seconds, rates, color=QUIET, linestyle=":", label="all caches")


def _coarser(rates: pd.Series[float]) -> tuple[pd.Series[float], pd.Series[float]]:
    """(seconds, means): neighbouring buckets put together until SMOOTHED_TO are left at most."""
    together = max(-(-len(rates) // SMOOTHED_TO), 1)
    frame = rates.sort_index().reset_index()
    mean = frame.groupby(frame.index // together).mean()
    return mean["ts_ns"] / 1e9, mean[rates.name]
