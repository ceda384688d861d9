# SPDX-License-Identifier: Apache-2.0
"""`slabtrace lifetimes`: how long objects lived, who allocates only briefly, who keeps."""

from __future__ import annotations

import sys

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

LIMIT = 20
SORT_KEYS = {
    "hit": "allocated",
    "temporary": "temporary",
    "survivors": "survivors",
    "p50": "p50_ns",
    "p90": "p90_ns",
    "p99": "p99_ns",
}


@click.command("lifetimes")
@trace_argument
@click.option(
    "--by",
    type=click.Choice(["stack", "call-site", "module", "cache"]),
    default="call-site",
    show_default=True,
    help="What makes a row.",
)
@click.option(
    "-s",
    "--sort",
    type=click.Choice(list(SORT_KEYS)),
    default="hit",
    show_default=True,
    help="Sort by this, largest first.",
)
@cache_option
@call_site_option
@window_options
@limit_option(LIMIT)
@json_option
def command(
    trace: str,
    by: str,
    sort: str,
    caches: tuple[str, ...],
    call_site: str | None,
    begin: str | None,
    end: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show how long objects lived: a histogram of all, percentiles by call site or cache.

    Temporary objects were freed by the task that allocated them, within a millisecond. Survivors
    were not freed by the end of the recording, and are in no percentile. Lifetimes are counted by
    powers of two; percentiles are interpolated within them.

    \b
    Examples:
      slabtrace lifetimes boot.slab
      slabtrace lifetimes boot.slab --by cache -s p99
      slabtrace lifetimes boot.slab --cache 'kmalloc-*' -s temporary
    """
    from slabtrace.render import json
    from slabtrace.render.terminal.lifetimes import write_lifetimes
    from slabtrace.render.terminal.verdict import write_verdict

    if call_site is not None and by in ("cache", "module"):
        raise UsageError(f"--call-site cannot choose among rows by {by}", f"leave out --by {by}")
    opened = open_trace(trace, begin, end)
    grouping = by.replace("-", "_")
    table = opened.lifetime_table(by=grouping)
    table = filters.by_cache(table, caches, filters.aliases(opened.caches()) if caches else {})
    table = filters.by_call_site(table, call_site)
    table = table.sort_values(SORT_KEYS[sort], ascending=False, kind="stable", na_position="last")
    shown = table.head(row_limit(limit, LIMIT, as_json) or len(table))
    completeness = opened.completeness()
    if as_json:
        head = json.document("lifetimes", trace, completeness, opened.damage)
        json.write({**head, "by": grouping, "rows": json.rows(shown, json.LIFETIMES)}, sys.stdout)
        return
    write_lifetimes(sys.stdout, table, shown, grouping)
    write_verdict(sys.stdout, completeness, opened.damage)
