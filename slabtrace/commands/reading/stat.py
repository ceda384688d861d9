# SPDX-License-Identifier: Apache-2.0
"""`slabtrace stat`: the totals of a trace, and perf-kmem-like tables by call site or cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import cache_option, call_site_option, choice_option, copies_option, trace_argument
from slabtrace.columns import PAGE_STAT, PEAKS, POINTERS, STAT
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

LIMIT = 20

# The sort keys (perf kmem's where it has them) and the columns they stand for; largest first.
SORT_KEYS = {
    "bytes": "bytes_alloc",
    "req": "bytes_req",
    "hit": "hits",
    "frees": "frees",
    "outstanding": "outstanding",
    "pingpong": "pingpong",
    "frag": "frag",
    "crossnode": "crossnode",
    "waste": "waste_bytes",
    "atomic": "atomic",
    "ptr": "ptr",
    "callsite": "symbol",
    "order": "order",
    "migtype": "migrate_type",
    "gfp": "gfp",
}
TEXTS = ("symbol", "ptr", "migrate_type", "gfp")  # smallest first


def _sort_keys(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """The columns that a list like "frag,hit" names."""
    keys = [key.strip() for key in value.split(",") if key.strip()]
    unknown = [key for key in keys if key not in SORT_KEYS]
    if unknown or not keys:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}; the keys are {', '.join(SORT_KEYS)}")
    return [SORT_KEYS[key] for key in keys]


@click.command("stat")
@trace_argument
@choice_option(
    "--by",
    choices=["call-site", "cache", "ptr", "pages"],
    default="call-site",
    help="One row for each call site, slab cache, address, or call site of pages.",
)
@click.option("--caller", "by", flag_value="call-site", help="Same as --by call-site (perf kmem's name).")
@click.option("--alloc", "by", flag_value="ptr", help="Same as --by ptr (perf kmem's name).")
@click.option(
    "--pages",
    "by",
    flag_value="pages",
    help="Same as --by pages: one row for each call site, order and gfp flags (perf kmem's --page).",
)
@click.option("--peaks", is_flag=True, help="Show when each cache held most, and which call sites held it.")
@click.option(
    "--gfp", is_flag=True, help="Add columns: atomic, accounted and zeroed allocations, and their rate."
)
@click.option(
    "-s",
    "--sort",
    "sort",
    metavar="KEY[,KEY]",
    default="bytes,hit",
    show_default=True,
    callback=_sort_keys,
    help=f"Sort by these, largest first: {', '.join(SORT_KEYS)}.",
)
@cache_option
@call_site_option
@copies_option
@window_options
@answer_options(LIMIT)
def command(
    trace: str,
    by: str,
    sort: list[str],
    caches: tuple[str, ...],
    call_site: str | None,
    peaks: bool,
    gfp: bool,
    copies: bool,
    begin: str | None,
    end: str | None,
    form: Form,
) -> None:
    """Show the totals of a trace, and who allocated most, under perf kmem's column names.

    Total_alloc counts the bytes that the slab allocator handed out, Total_req those that were asked
    for; Frag is the share of Total_alloc that nobody asked for. Ping-pong counts objects that were
    freed on another CPU than they were allocated on.

    \b
    Examples:
      slabtrace stat boot.slab
      slabtrace stat boot.slab --by cache -s frag,bytes -l 10
      slabtrace stat boot.slab --alloc -s hit -l 5
      slabtrace stat boot.slab --from "before login" --to "after login"
      slabtrace stat boot.slab --cache 'kmalloc-*' --json
      slabtrace stat pages.slab --pages -s order,bytes
    """
    from slabtrace.render.terminal.caches import write_copies
    from slabtrace.render.terminal.machine.pages import write_pages
    from slabtrace.render.terminal.stat import write_pointers, write_stat, write_summary

    opened = open_trace(trace, begin, end)
    if (peaks or by == "cache") and not copies and not form.as_json:
        opened = opened.summed()
    if peaks:
        _answer_peaks(opened, trace, caches, form)
        return
    by = by.replace("-", "_")
    table = _chosen(opened, by, caches, call_site)
    _check_keys(sort, table)
    table = table.sort_values(sort, ascending=[key in TEXTS for key in sort], kind="stable")

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        if by == "pages":
            write_pages(out, table, shown, opened.caches(), opened.manifest.totals)
            return
        write_summary(out, opened.stat(by="cache"), opened.completeness(), opened.length_ns)
        if by == "ptr":
            write_pointers(out, shown)
        else:
            write_stat(out, shown, by, gfp, opened.length_ns)
            write_copies(out, opened.copies(), shown["cache"])

    rows = Rows({"ptr": POINTERS, "pages": PAGE_STAT}.get(by, STAT), table)
    answer(form, "stat", trace, opened, rows, write, {"by": by})


def _chosen(opened: Trace, by: str, caches: tuple[str, ...], call_site: str | None) -> pd.DataFrame:
    """The rows that the filters leave.  Raises UsageError for a filter that does not apply to them."""
    if call_site is not None and by != "call_site":
        raise UsageError(f"--call-site cannot select rows by {by}", "leave out --by")
    if caches and by == "ptr":
        raise UsageError("--cache cannot select rows by address", "leave out --alloc")
    if by == "pages":
        return filters.by_call_site(_pages(opened, caches), call_site)
    choose = filters.chooser(opened, caches)
    return filters.by_call_site(choose(opened.stat(by=by)), call_site)


def _pages(opened: Trace, caches: tuple[str, ...]) -> pd.DataFrame:
    """The rows of pages.  Raises UsageError where --cache is used, or no pages were recorded."""
    if caches:
        raise UsageError("--cache cannot select rows of pages", "leave out --cache")
    if not opened.manifest.options.get("pages"):
        raise UsageError(
            "this trace has no pages: it was recorded without --pages", "record with slabtrace record --pages"
        )
    return opened.stat(by="pages")


def _check_keys(sort: list[str], table: pd.DataFrame) -> None:
    missing = [key for key, column in SORT_KEYS.items() if column in sort and column not in table]
    if missing:
        raise UsageError(f"these rows cannot be sorted by {', '.join(missing)}", "choose other keys with -s")


def _answer_peaks(opened: Trace, trace: str, caches: tuple[str, ...], form: Form) -> None:
    from slabtrace.render.terminal.caches import write_copies
    from slabtrace.render.terminal.stat import write_peaks

    table = filters.chooser(opened, caches)(opened.peaks())
    rows = Rows(PEAKS, table, "cache")

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        write_peaks(out, shown)
        write_copies(out, opened.copies(), shown["cache"])

    answer(form, "stat", trace, opened, rows, write, {"by": "peak"})
