# SPDX-License-Identifier: Apache-2.0
"""`slabtrace caches`: each slab cache's traffic, traced beside the kernel's own count."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.options import cache_option, copies_option, sort_option, trace_argument
from slabtrace.cli.progress import watched
from slabtrace.columns import CACHES

if TYPE_CHECKING:
    import pandas as pd

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
@sort_option(list(SORT_KEYS), "allocs")
@click.option("--aliases", "with_aliases", is_flag=True, help="List the names merged into each cache.")
@copies_option
@answer_options(LIMIT)
def command(
    trace: str, caches: tuple[str, ...], sort: str, with_aliases: bool, copies: bool, form: Form
) -> None:
    """Show each slab cache: what was traced in it, and what the kernel itself counted.

    \b
    size     bytes that one object takes
    frees    seen or inferred, of objects older than the recording too
    net      allocations less frees
    kernel   change of the kernel's own count of objects in use (slabinfo)
    match    share of the larger of these two that the other one explains; ±312: the
             kernel's count cannot tell, because CPUs may keep up to 312 free objects
    peak     most objects outstanding at one time
    waste    bytes handed out beyond what was asked for

    The kernel counts free objects that a CPU keeps for itself as in use, so small differences are
    normal. It also merges similar caches: they have one name and one count (--aliases lists them).

    \b
    Examples:
      slabtrace caches boot.slab
      slabtrace caches boot.slab --sort waste -l 10
      slabtrace caches boot.slab --cache 'kmalloc-*' --aliases
      slabtrace caches boot.slab --json | jq '.caches[] | select(.unexplained != 0)'
    """
    import slabtrace
    from slabtrace.render.terminal.caches import write_caches, write_copies

    opened = watched(slabtrace.open(trace))
    opened = opened if copies or form.as_json else opened.summed()
    table = filters.chooser(opened, caches)(opened.caches())
    table = table.sort_values(SORT_KEYS[sort], ascending=False, kind="stable")
    rows = Rows(CACHES, table, "cache")

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        write_caches(out, shown, with_aliases)
        write_copies(out, opened.copies(), shown["cache"])

    answer(form, "caches", trace, opened, rows, write)
