# SPDX-License-Identifier: Apache-2.0
"""`slabtrace stat`: the totals of a trace, and perf-kmem-like tables by call site or cache."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from slabtrace.commands import _filters as filters
from slabtrace.commands._options import (
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
}


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
    type=click.Choice(["call-site", "cache"]),
    default="call-site",
    show_default=True,
    help="One row per call site, or per slab cache.",
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
@limit_option(LIMIT)
@json_option
def command(
    trace: str,
    by: str,
    sort: list[str],
    caches: tuple[str, ...],
    call_site: str | None,
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
      slabtrace stat boot.slab --cache 'kmalloc-*' --json
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.stat import write_stat, write_summary
    from slabtrace.render.verdict import write_verdict

    opened = slabtrace.open(trace)
    grouping = by.replace("-", "_")
    known = filters.aliases(opened.caches()) if caches else {}
    table, completeness = opened.stat(by=grouping), opened.completeness()
    table = filters.by_cache(table, caches, known)
    table = _by_call_site(table, call_site, grouping).sort_values(sort, ascending=False, kind="stable")
    shown = table.head(row_limit(limit, LIMIT, as_json) or len(table))
    if as_json:
        head = json.document("stat", trace, completeness, opened.damage)
        json.write({**head, "by": grouping, "rows": json.rows(shown, json.STAT)}, sys.stdout)
        return
    write_summary(sys.stdout, opened.stat(by="cache"), completeness, opened.length_ns)
    write_stat(sys.stdout, shown, len(table) - len(shown), grouping)
    write_verdict(sys.stdout, completeness, opened.damage)


def _by_call_site(table: pd.DataFrame, call_site: str | None, grouping: str) -> pd.DataFrame:
    if call_site is not None and grouping == "cache":
        raise UsageError("--call-site cannot choose among rows by cache", "leave out --by cache")
    return filters.by_call_site(table, call_site)
