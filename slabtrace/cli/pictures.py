# SPDX-License-Identifier: Apache-2.0
"""The pictures that `plot` and `report` draw: their names, and the tables that each one needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace
    from slabtrace.render.plots.canvas import Drawing, Notes


class Subject(NamedTuple):
    """What to draw: a trace, a filter of its caches (of rows with a column `cache`), the number of series."""

    trace: Trace
    chosen: Callable[[pd.DataFrame], pd.DataFrame]
    top: int

    def notes(self) -> Notes:
        """Marks and losses, for the background of axes of time."""
        from slabtrace.analysis.trust.filters import PARTIAL_FILTERS, filter_options
        from slabtrace.render.plots.canvas import Notes

        completeness = self.trace.completeness()
        lost = completeness.dropped + completeness.skipped + completeness.late
        manifest, one_in = self.trace.manifest, completeness.sampled_one_in
        partial = filter_options(manifest, PARTIAL_FILTERS) + ([f"--sample 1/{one_in}"] if one_in > 1 else [])
        return Notes(self.trace.marks(), self.trace.losses(), lost, " ".join(partial))


def _usage(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.usage import draw_usage

    return draw_usage(subject.chosen(subject.trace.usage()), subject.notes(), title, subject.top)


def _rates(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.rates import draw_rates

    return draw_rates(subject.chosen(subject.trace.usage()), subject.notes(), title, min(subject.top, 7))


def _fragmentation(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.fragmentation import draw_fragmentation

    usage, caches = subject.chosen(subject.trace.usage()), subject.trace.caches()
    return draw_fragmentation(usage, caches, title)


def _lifetimes(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.lifetimes import draw_lifetimes

    return draw_lifetimes(subject.chosen(subject.trace.lifetime_histogram()), title, min(subject.top, 7))


def _sizes(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.sizes import draw_sizes

    return draw_sizes(subject.trace.size_classes(), subject.notes(), title)


def _call_sites(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.call_sites import draw_call_sites

    held = subject.trace.call_site_usage(min(subject.top, 7))
    return draw_call_sites(held, subject.notes(), title)


def _memory(subject: Subject, title: str) -> Drawing:
    from slabtrace.render.plots.memory import draw_memory

    return draw_memory(subject.trace.memory(), subject.notes(), title)


class Picture(NamedTuple):
    """A picture: its heading, whether --cache chooses among what it shows, and how it is drawn."""

    heading: str
    by_cache: bool
    draw: Callable[[Subject, str], Drawing]


MEMORY = "memory"  # of the whole machine; it has a section of its own in the report
PICTURES = {
    "usage": Picture("slab usage", True, _usage),
    "rates": Picture("allocations and frees", True, _rates),
    "fragmentation": Picture("fragmentation", True, _fragmentation),
    "lifetimes": Picture("lifetimes", True, _lifetimes),
    "sizes": Picture("sizes", False, _sizes),
    "call-sites": Picture("call sites", False, _call_sites),
    MEMORY: Picture("all memory", False, _memory),
}
