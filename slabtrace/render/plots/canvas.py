# SPDX-License-Identifier: Apache-2.0
"""What all pictures share: the style, saving, time axes with marks and losses, and names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from matplotlib import rc_context, style
from matplotlib.figure import Figure  # without pyplot: no display, no global state
from matplotlib.ticker import FuncFormatter

from slabtrace.render.terminal.text import elide, escape
from slabtrace.resources import reports_dir
from slabtrace.units import byte_unit, count, rate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Drawing: TypeAlias = Figure  # for modules that may not import matplotlib

STYLE = "slabtrace.mplstyle"
LINES = 8  # series that the style's colours and dashes distinguish
QUIET = "#888888"  # lines that are not data; reports/report.css gives them the page's own colour
ROOM = "#eeeeee"  # areas that are not data
LOST = "#f3c6b5"  # a light vermillion: events are missing here
MARKS_SHOWN = 12
NAME_CELLS, MARK_CELLS = 28, 22


@dataclass
class Notes:
    """What every time axis shows in its background.

    `marks`, `losses`: rows of Trace.marks() and Trace.losses(); `lost`: how many events can be missing
    in all; if 0, nothing is shaded, because every loss was recovered.  `partial`: the filters and the sample
    by which only some objects of a cache were recorded, in words; empty: all of them were.
    """

    marks: pd.DataFrame
    losses: pd.DataFrame
    lost: int = 0
    partial: str = ""

    @staticmethod
    def nothing() -> Notes:
        """For axes of time without a recording."""
        import pandas as pd

        from slabtrace.columns import LOSSES, MARKS

        return Notes(pd.DataFrame(columns=list(MARKS.names)), pd.DataFrame(columns=list(LOSSES.names)))


@contextmanager
def _styled(fonttype: str) -> Iterator[None]:
    with style.context(reports_dir() / STYLE), rc_context({"svg.fonttype": fonttype}):
        yield


def save(draw: Callable[[], Figure], out: BinaryIO, file_format: str, fonttype: str = "path") -> None:
    """Write the figure that `draw` makes to `out` as "png" or "svg".

    `fonttype`: "path" draws the letters of an SVG as shapes, "none" leaves them text.
    """
    with _styled(fonttype):
        # No date and no random ids: the same trace gives the same bytes.
        metadata = {"Date": None} if file_format == "svg" else None
        draw().savefig(out, format=file_format, metadata=metadata)


def titled(title: str) -> Figure:
    """An empty figure with the title `title` (escaped here); an empty one gives none."""
    figure = Figure()
    if title:
        figure.suptitle(escape(title), x=0.01, ha="left", fontsize=13)
    return figure


def name(text: str, cells: int = NAME_CELLS) -> str:
    """A name as shown: escaped, cut, and not beginning with _, which matplotlib would hide."""
    shown = elide(escape(text), cells)
    return f" {shown}" if shown.startswith("_") else shown


def time_axis(axes: Axes, notes: Notes, labelled: bool = True) -> None:
    """Make the x axis one of seconds: losses shaded, marks as lines, with names if `labelled`."""
    axes.margins(x=0)
    if labelled:
        axes.set_xlabel("seconds since the start of the recording")
    lost = notes.losses[notes.losses["lost"]] if notes.lost else notes.losses.head(0)
    for begin, end in _merged(zip(lost["begin_ns"].tolist(), lost["end_ns"].tolist(), strict=True)):
        axes.axvspan(begin / 1e9, end / 1e9, color=LOST, alpha=0.45, linewidth=0, zorder=-1)
    for ts_ns, text in notes.marks.head(MARKS_SHOWN).itertuples(index=False):
        axes.axvline(ts_ns / 1e9, color=QUIET, linewidth=1, linestyle=(0, (2, 2)))
        if labelled:
            place = (ts_ns / 1e9, 0.98)
            axes.annotate(
                name(text, MARK_CELLS), place, (3, 0), ("data", "axes fraction"), "offset points",
                fontsize=8, rotation=90, va="top", color=QUIET,
            )  # fmt: skip


def loss_legend(axes: Axes, notes: Notes) -> None:
    """Say in a corner of the picture what the shading means, if there is any."""
    if notes.lost and notes.losses["lost"].any():
        axes.text(
            1, 1.01, f" shaded: times at which some of up to {count(notes.lost)} lost events are missing ",
            transform=axes.transAxes, ha="right", va="bottom", fontsize=9, backgroundcolor=LOST,
        )  # fmt: skip


def in_bytes(axes: Axes, largest: float, signed: bool = False) -> float:
    """Label the y axis in the unit that suits `largest` (bytes); the divisor for values."""
    power, unit = byte_unit(largest)
    axes.set_ylabel(unit)
    form = "{:+,g}" if signed else "{:,g}"
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value) if value else "0"))
    return float(1024**power)


def in_rates(axes: Axes) -> None:
    """Label the y axis with rates per second."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value) if value else "0"))
    axes.set_ylim(bottom=0)


def legend_right(axes: Axes) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def nothing(axes: Axes, words: str) -> None:
    """Say that there is nothing to draw."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center")


def by_swing(usage: pd.DataFrame, column: str, top: int) -> list[tuple[str, pd.DataFrame]]:
    """The `top` caches whose `column` changed most, in that order: (name, its rows in time order)."""
    moved = usage.groupby("cache", sort=True)[column].agg(["max", "min"])
    swings = (moved["max"] - moved["min"]).sort_values(ascending=False, kind="stable")
    return [(str(key), usage[usage["cache"] == key].sort_values("ts_ns")) for key in swings.index[:top]]


def swing(values: pd.Series[float]) -> float:
    """The difference of the largest and the smallest value."""
    return float(values.max() - values.min())


def _merged(spans: Iterator[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Spans in time order, joined where they touch: overlapping shades would look darker."""
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
