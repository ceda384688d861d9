# SPDX-License-Identifier: Apache-2.0
"""`slabtrace lifetimes`: how long objects lived, and which call sites keep theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import (
    by_option,
    cache_option,
    call_site_option,
    copies_option,
    sort_option,
    trace_argument,
)
from slabtrace.columns import LIFETIMES
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

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
@by_option(
    ["stack", "call-site", "module", "cache"], "call-site", "One row for each of these, in each cache."
)
@sort_option(list(SORT_KEYS), "hit")
@cache_option
@call_site_option
@copies_option
@window_options
@answer_options(LIMIT)
def command(
    trace: str,
    by: str,
    sort: str,
    caches: tuple[str, ...],
    call_site: str | None,
    copies: bool,
    begin: str | None,
    end: str | None,
    form: Form,
) -> None:
    """Show how long objects lived: a histogram of all, percentiles by call site or cache.

    Temporary objects were freed within a millisecond, by the task that allocated them. Survivors
    were not freed before the end of the recording; percentiles leave them out. Lifetimes are counted
    by powers of two, and percentiles are interpolated between these.

    \b
    Examples:
      slabtrace lifetimes boot.slab
      slabtrace lifetimes boot.slab --by cache -s p99
      slabtrace lifetimes boot.slab --cache 'kmalloc-*' -s temporary
    """
    from slabtrace.render.terminal.caches import write_copies
    from slabtrace.render.terminal.lifetimes import write_lifetimes

    if call_site is not None and by in ("cache", "module"):
        raise UsageError(f"--call-site cannot select rows by {by}", f"leave out --by {by}")
    opened = open_trace(trace, begin, end)
    if by == "cache" and not copies and not form.as_json:
        opened = opened.summed()
    table = filters.chooser(opened, caches)(opened.lifetime_table(by=by))
    table = filters.by_call_site(table, call_site)
    table = table.sort_values(SORT_KEYS[sort], ascending=False, kind="stable", na_position="last")
    rows = Rows(LIFETIMES, table)

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        write_lifetimes(out, table, shown, by)
        write_copies(out, opened.copies(), shown["cache"])

    answer(
        form,
        "lifetimes",
        trace,
        opened,
        rows,
        write,
        {"by": by},
    )
