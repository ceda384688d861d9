# SPDX-License-Identifier: Apache-2.0
"""`slabtrace leaks`: the objects that were allocated and never freed, in ranked groups."""

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
    task_options,
    trace_argument,
)

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

LIMIT = 10


@click.command("leaks")
@trace_argument
@click.option(
    "--by",
    type=click.Choice(["stack", "call-site", "cache"]),
    default="stack",
    show_default=True,
    help="What makes objects one group.",
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
@limit_option(LIMIT)
@json_option
def command(
    trace: str,
    by: str,
    caches: tuple[str, ...],
    call_site: str | None,
    pids: tuple[int, ...],
    comms: tuple[str, ...],
    min_outstanding: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the objects that were allocated while recording and not freed by its end.

    Outstanding is not yet leaked: caches of the kernel's own keep objects on purpose, and the
    youngest groups may be about to be freed. The stack's innermost function comes first. Each group
    says what it claims: `exact`, or how many of its objects at most may have been freed unseen
    (`unsure`; ?: no bound is known).

    \b
    Examples:
      slabtrace leaks boot.slab
      slabtrace leaks boot.slab --by cache
      slabtrace leaks boot.slab --cache 'kmalloc-*' --min-outstanding 100
      slabtrace leaks boot.slab --symbol 'nf_conntrack|\\[my_module\\]'
      slabtrace leaks boot.slab --pid 4321 --by call-site
      slabtrace leaks boot.slab --json | jq '.groups[0].stack'
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.leaks import write_leaks
    from slabtrace.render.verdict import write_verdict

    opened = slabtrace.open(trace)
    grouping = by.replace("-", "_")
    groups = _of_tasks(opened, grouping, pids, comms)
    groups = filters.by_cache(groups, caches, filters.aliases(opened.caches()) if caches else {})
    groups = filters.by_call_site(groups, call_site)
    groups = groups[groups["outstanding"] >= min_outstanding]
    shown = groups.head(row_limit(limit, LIMIT, as_json) or len(groups))
    completeness = opened.completeness()
    if as_json:
        head = json.document("leaks", trace, completeness, opened.damage)
        json.write({**head, "by": grouping, "groups": json.rows(shown, json.LEAKS)}, sys.stdout)
        return
    write_leaks(sys.stdout, shown, len(groups) - len(shown), grouping, opened.length_ns)
    write_verdict(sys.stdout, completeness, opened.damage)


def _of_tasks(opened: Trace, grouping: str, pids: tuple[int, ...], comms: tuple[str, ...]) -> pd.DataFrame:
    if pids or comms:
        filters.check_tasks(opened.tasks(), pids, comms)
    return opened.leaks(by=grouping, pid=pids, comm=comms)
