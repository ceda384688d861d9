# SPDX-License-Identifier: Apache-2.0
"""`slabtrace leaks`: the objects that were allocated and never freed, in ranked groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import moment, open_trace, window_options
from slabtrace.cli.options import (
    by_option,
    cache_option,
    call_site_option,
    sort_option,
    task_options,
    trace_argument,
)
from slabtrace.cli.rules_file import read_suppressions, suppressions_option
from slabtrace.columns import LEAKS

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

LIMIT = 10
BY = ["stack", "call-site", "module", "process", "cache"]
CLASSES = ["suspect", "retained", "young", "reclaimable"]
SORT_KEYS = {"bytes": "bytes_alloc", "objects": "outstanding"}  # growth and age: see _sorted


@click.command("leaks")
@trace_argument
@by_option(BY, "stack", "Group the objects of each cache by this.")
@sort_option(
    ["rank", "growth", "bytes", "objects", "age"],
    "rank",
    "Sort by this, largest or oldest first; rank: suspects first.",
)
@cache_option
@call_site_option
@task_options
@click.option(
    "--min-outstanding",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Only groups with at least N objects outstanding.",
)
@click.option(
    "--class", "classes", multiple=True, type=click.Choice(CLASSES), help="Only groups of this class."
)
@click.option(
    "--between",
    nargs=2,
    metavar="MARK MARK",
    help="Only objects allocated between two marks (or times) and not freed by the end.",
)
@click.option("--own", is_flag=True, help="Show slabtrace's own objects too. JSON always has them.")
@suppressions_option
@window_options
@answer_options(LIMIT)
def command(
    trace: str,
    by: str,
    sort: str,
    caches: tuple[str, ...],
    call_site: str | None,
    pids: tuple[int, ...],
    comms: tuple[str, ...],
    min_outstanding: int,
    classes: tuple[str, ...],
    between: tuple[str, str] | None,
    own: bool,
    suppressions: str | None,
    begin: str | None,
    end: str | None,
    form: Form,
) -> None:
    """Show the objects that were allocated while recording and not freed by its end.

    Outstanding is not yet leaked. `leaks` puts each group of objects into a class:

    \b
    suspect       old objects are not freed, and new ones keep coming
    retained      kept, but not clearly growing: came once, in a burst, or no longer comes
    young         too new to judge
    reclaimable   the kernel frees such objects when memory is short

    Suspects come first, ordered by certain growth. A suspect's score, from 0 to 1, is a product:
    the share of its old objects that were kept, how steadily they came, and how certain the growth is.

    `unsure` is how many of the objects may have been freed without being seen (0: confirmed, ?: not
    known, because some frees cannot be traced).

    \b
    Examples:
      slabtrace leaks boot.slab
      slabtrace leaks boot.slab --by cache --sort growth
      slabtrace leaks boot.slab --cache 'kmalloc-*' --min-outstanding 100
      slabtrace leaks boot.slab --symbol 'nf_conntrack|\\[my_module\\]'
      slabtrace leaks boot.slab --pid 4321 --by call-site
      slabtrace leaks boot.slab --between "before login" "after logout"
      slabtrace leaks boot.slab --json | jq '.groups[0].stack'
    """
    from slabtrace.render.terminal.leaks import Listing, write_leaks, write_own
    from slabtrace.render.terminal.suppressed import write_suppressed

    opened = open_trace(trace, begin, end)
    rules = read_suppressions(suppressions)
    everything = _groups(opened, by, pids, comms, between)
    groups = filters.by_call_site(filters.chooser(opened, caches)(everything), call_site)
    groups = groups[groups["outstanding"] >= min_outstanding]
    if classes:
        groups = groups[groups["class"].isin(classes)]
    groups, used = rules.apply(_sorted(groups, sort))
    hidden = groups[groups["own"].astype(bool) & (not (own or form.as_json))]
    listing = Listing(by, opened.length_ns, len(everything) - len(groups), opened.completeness(), len(hidden))

    def notes(out: TextIO) -> None:
        write_own(out, hidden)
        write_suppressed(out, used)

    rows = Rows(LEAKS, groups.drop(hidden.index), "group")
    more = {"by": by, "suppressed": used}
    answer(
        form, "leaks", trace, opened, rows, lambda out, shown: write_leaks(out, shown, listing), more, notes
    )


def _groups(
    opened: Trace,
    by: str,
    pids: tuple[int, ...],
    comms: tuple[str, ...],
    between: tuple[str, str] | None,
) -> pd.DataFrame:
    """What is outstanding of these tasks, allocated between these moments."""
    if pids or comms:
        filters.check_tasks(opened.tasks(), pids, comms)
    times = None if between is None else (moment(opened, between[0]), moment(opened, between[1]))
    return opened.leaks(by=by, pid=pids, comm=comms, between=times)


def _sorted(groups: pd.DataFrame, sort: str) -> pd.DataFrame:
    """`groups`, which are in the order of their rank, in the order asked for."""
    if sort == "rank":
        return groups
    if sort == "age":
        return groups.sort_values("oldest_ns", kind="stable")
    if sort == "growth":  # as the table shows it: only where it is certain
        certain = groups["growth_bytes_per_s"].where(groups["growth_low"] > 0)
        return groups.loc[certain.sort_values(ascending=False, kind="stable").index]
    return groups.sort_values(SORT_KEYS[sort], ascending=False, kind="stable")
