# SPDX-License-Identifier: Apache-2.0
"""`slabtrace stat`: the totals of a trace, and perf-kmem-like tables by call site or cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import (
    cache_option,
    call_site_option,
    json_option,
    limit_option,
    row_limit,
    trace_argument,
)
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
}
TEXTS = ("symbol", "ptr")  # smallest first


def _sort_keys(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """The columns that a list as "frag,hit" names."""
    keys = [key.strip() for key in value.split(",") if key.strip()]
    unknown = [key for key in keys if key not in SORT_KEYS]
    if unknown or not keys:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}; the keys are {', '.join(SORT_KEYS)}")
    return [SORT_KEYS[key] for key in keys]


@click.command("stat")
@trace_argument
@click.option(
    "--by",
    type=click.Choice(["call-site", "cache", "ptr"]),
    default="call-site",
    show_default=True,
    help="One row per call site, slab cache, or address.",
)
@click.option("--caller", "by", flag_value="call-site", help="As --by call-site (perf kmem's name).")
@click.option("--alloc", "by", flag_value="ptr", help="As --by ptr (perf kmem's name): by object address.")
@click.option("--peaks", is_flag=True, help="When each cache held most, and which call sites held it then.")
@click.option("--gfp", is_flag=True, help="Add how many allocations were atomic, accounted, zeroed.")
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
@window_options
@limit_option(LIMIT)
@json_option
def command(
    trace: str,
    by: str,
    sort: list[str],
    caches: tuple[str, ...],
    call_site: str | None,
    peaks: bool,
    gfp: bool,
    begin: str | None,
    end: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the totals of a trace, and who allocated most, under perf kmem's column names.

    Total_alloc is what the slab allocator handed out, Total_req what was asked for, Frag the share
    of the former that nobody asked for; Ping-pong counts objects freed on another CPU than the one
    that allocated them.

    \b
    Examples:
      slabtrace stat boot.slab
      slabtrace stat boot.slab --by cache -s frag,bytes -l 10
      slabtrace stat boot.slab --alloc -s hit -l 5
      slabtrace stat boot.slab --from "before login" --to "after login"
      slabtrace stat boot.slab --cache 'kmalloc-*' --json
    """
    from slabtrace.render import json
    from slabtrace.render.terminal.stat import write_pointers, write_stat, write_summary
    from slabtrace.render.terminal.verdict import write_verdict

    opened = open_trace(trace, begin, end)
    if peaks:
        _show_peaks(opened, trace, caches, limit, as_json)
        return
    grouping = by.replace("-", "_")
    table = _chosen(opened, grouping, caches, call_site)
    _check_keys(sort, table)
    table = table.sort_values(sort, ascending=[key in TEXTS for key in sort], kind="stable")
    completeness = opened.completeness()
    shown = table.head(row_limit(limit, LIMIT, as_json) or len(table))
    if as_json:
        head = json.document("stat", trace, completeness, opened.damage)
        keys = json.POINTERS if by == "ptr" else json.STAT
        json.write({**head, "by": grouping, "rows": json.rows(shown, keys)}, sys.stdout)
        return
    write_summary(sys.stdout, opened.stat(by="cache"), completeness, opened.length_ns)
    if by == "ptr":
        write_pointers(sys.stdout, shown, len(table) - len(shown))
    else:
        write_stat(sys.stdout, shown, len(table) - len(shown), grouping, gfp, opened.length_ns)
    write_verdict(sys.stdout, completeness, opened.damage)


def _chosen(opened: Trace, grouping: str, caches: tuple[str, ...], call_site: str | None) -> pd.DataFrame:
    """The rows that the filters leave.  Raises UsageError where a filter cannot choose among them."""
    if call_site is not None and grouping != "call_site":
        raise UsageError(f"--call-site cannot choose among rows by {grouping}", "leave out --by")
    if caches and grouping == "ptr":
        raise UsageError("--cache cannot choose among rows by address", "leave out --alloc")
    known = filters.aliases(opened.caches()) if caches else {}
    return filters.by_call_site(filters.by_cache(opened.stat(by=grouping), caches, known), call_site)


def _check_keys(sort: list[str], table: pd.DataFrame) -> None:
    missing = [key for key, column in SORT_KEYS.items() if column in sort and column not in table]
    if missing:
        raise UsageError(f"these rows cannot be sorted by {', '.join(missing)}", "choose other keys with -s")


def _show_peaks(opened: Trace, trace: str, caches: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    from slabtrace.render import json
    from slabtrace.render.terminal.stat import write_peaks
    from slabtrace.render.terminal.verdict import write_verdict

    table = filters.by_cache(opened.peaks(), caches, filters.aliases(opened.caches()) if caches else {})
    shown = table.head(row_limit(limit, LIMIT, as_json) or len(table))
    if as_json:
        head = json.document("stat", trace, opened.completeness(), opened.damage)
        json.write({**head, "by": "peak", "rows": json.rows(shown, json.PEAKS)}, sys.stdout)
        return
    write_peaks(sys.stdout, shown, len(table) - len(shown))
    write_verdict(sys.stdout, opened.completeness(), opened.damage)
