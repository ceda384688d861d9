# SPDX-License-Identifier: Apache-2.0
"""`slabtrace caches`: each slab cache's traffic, traced beside the kernel's own count."""

from __future__ import annotations

import sys

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.options import cache_option, json_option, limit_option, row_limit, trace_argument
from slabtrace.cli.progress import watched

LIMIT = 20

SORT_KEYS = {
    "allocs": "allocs",
    "frees": "frees",
    "outstanding": "outstanding",
    "peak": "peak_outstanding",
    "bytes": "bytes_alloc",
    "waste": "waste_bytes",
}


@click.command("caches")
@trace_argument
@cache_option
@click.option(
    "-s",
    "--sort",
    type=click.Choice(list(SORT_KEYS)),
    default="allocs",
    show_default=True,
    help="Sort by this, largest first.",
)
@click.option("--aliases", "with_aliases", is_flag=True, help="List the names merged into each cache.")
@limit_option(LIMIT)
@json_option
def command(
    trace: str,
    caches: tuple[str, ...],
    sort: str,
    with_aliases: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show each slab cache: what was traced in it, and what the kernel itself counted.

    `size` is what one object takes, `net` the allocations less the frees as traced, `kernel` the
    change of the kernel's own count of active objects, `agree` how far the two do, `peak` the most
    that were live at once of those allocated while recording, `waste` bytes handed out but not
    asked for. The kernel merges similar caches: they share one name and one count (--aliases lists
    them).

    \b
    Examples:
      slabtrace caches boot.slab
      slabtrace caches boot.slab --sort waste -l 10
      slabtrace caches boot.slab --cache 'kmalloc-*' --aliases
      slabtrace caches boot.slab --json | jq '.caches[] | select(.unexplained != 0)'
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.terminal.caches import write_caches
    from slabtrace.render.terminal.verdict import write_verdict

    opened = watched(slabtrace.open(trace))
    table = opened.caches()
    table = filters.by_cache(table, caches, filters.aliases(table))
    table = table.sort_values(SORT_KEYS[sort], ascending=False, kind="stable")
    shown = table.head(row_limit(limit, LIMIT, as_json) or len(table))
    completeness = opened.completeness()
    if as_json:
        head = json.document("caches", trace, completeness, opened.damage)
        json.write({**head, "caches": json.rows(shown, json.CACHES)}, sys.stdout)
        return
    write_caches(sys.stdout, shown, len(table) - len(shown), with_aliases)
    write_verdict(sys.stdout, completeness, opened.damage)
