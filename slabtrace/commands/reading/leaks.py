# SPDX-License-Identifier: Apache-2.0
"""`slabtrace leaks`: the objects that were allocated and never freed, in ranked groups."""

from __future__ import annotations

import sys

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.opening import moment, open_trace, window_options
from slabtrace.cli.options import (
    cache_option,
    call_site_option,
    json_option,
    limit_option,
    row_limit,
    task_options,
    trace_argument,
)
from slabtrace.cli.rules_file import read_suppressions, suppressions_option

LIMIT = 10


@click.command("leaks")
@trace_argument
@click.option(
    "--by",
    type=click.Choice(["stack", "call-site", "module", "process", "cache"]),
    default="stack",
    show_default=True,
    help="What makes objects of one cache one group.",
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
    "--class",
    "classes",
    multiple=True,
    type=click.Choice(["suspect", "retained", "young", "reclaimable"]),
    help="Only groups of this class.",
)
@click.option(
    "--between",
    nargs=2,
    metavar="MARK MARK",
    help="Only what was allocated between two marks (or times), and not freed by the end.",
)
@suppressions_option
@window_options
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
    classes: tuple[str, ...],
    between: tuple[str, str] | None,
    suppressions: str | None,
    begin: str | None,
    end: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the objects that were allocated while recording and not freed by its end.

    Outstanding is not yet leaked. A `suspect` keeps growing: its old objects stay, and more come all
    along. `retained` came once and stays, `young` is too new to judge, `reclaimable` is given up
    when memory is short. Suspects come first, by how much they surely grow. Each group
    says what it claims: `exact`, or how many of its objects at most may have been freed unseen
    (`unsure`; ?: no bound is known).

    \b
    Examples:
      slabtrace leaks boot.slab
      slabtrace leaks boot.slab --by cache
      slabtrace leaks boot.slab --cache 'kmalloc-*' --min-outstanding 100
      slabtrace leaks boot.slab --symbol 'nf_conntrack|\\[my_module\\]'
      slabtrace leaks boot.slab --pid 4321 --by call-site
      slabtrace leaks boot.slab --between "before login" "after logout"
      slabtrace leaks boot.slab --json | jq '.groups[0].stack'
    """
    from slabtrace.render import json
    from slabtrace.render.terminal.leaks import write_leaks
    from slabtrace.render.terminal.suppressed import write_suppressed
    from slabtrace.render.terminal.verdict import write_verdict

    opened = open_trace(trace, begin, end)
    rules = read_suppressions(suppressions)
    grouping = by.replace("-", "_")
    if pids or comms:
        filters.check_tasks(opened.tasks(), pids, comms)
    times = None if between is None else (moment(opened, between[0]), moment(opened, between[1]))
    groups = opened.leaks(by=grouping, pid=pids, comm=comms, between=times)
    everything = len(groups)
    groups = filters.by_cache(groups, caches, filters.aliases(opened.caches()) if caches else {})
    groups = filters.by_call_site(groups, call_site)
    groups = groups[groups["outstanding"] >= min_outstanding]
    if classes:
        groups = groups[groups["class"].isin(classes)]
    groups, used = rules.apply(groups)
    shown = groups.head(row_limit(limit, LIMIT, as_json) or len(groups))
    completeness = opened.completeness()
    if as_json:
        head = json.document("leaks", trace, completeness, opened.damage)
        rows = json.rows(shown, json.LEAKS)
        json.write({**head, "by": grouping, "suppressed": json.plain(used), "groups": rows}, sys.stdout)
        return
    others = everything - len(groups)
    write_leaks(sys.stdout, shown, len(groups) - len(shown), grouping, opened.length_ns, others)
    write_suppressed(sys.stdout, used)
    write_verdict(sys.stdout, completeness, opened.damage)
