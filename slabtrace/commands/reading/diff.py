# SPDX-License-Identifier: Apache-2.0
"""`slabtrace diff`: what a newer recording holds that an older one did not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.opening import open_trace
from slabtrace.cli.options import cache_option, json_option, limit_option, row_limit
from slabtrace.cli.rules_file import read_suppressions, suppressions_option
from slabtrace.errors import FOUND as EXIT_FOUND

if TYPE_CHECKING:
    from slabtrace.api import Trace

LIMIT = 10
BY = ["stack", "call-site", "module", "cache"]


@click.command("diff")
@click.argument("old", metavar="OLD", type=click.Path(path_type=str))
@click.argument("new", metavar="NEW", type=click.Path(path_type=str))
@click.option("--by", type=click.Choice(BY), default="stack", show_default=True, help="What makes a group.")
@click.option("--all", "every", is_flag=True, help="Show also what chance explains.")
@cache_option
@suppressions_option
@limit_option(LIMIT)
@json_option
def command(
    old: str,
    new: str,
    by: str,
    every: bool,
    caches: tuple[str, ...],
    suppressions: str | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Compare what two recordings left outstanding: new, gone, grown and shrunk groups.

    Groups are matched by cache and by the functions of their stack, so that the two may come from
    different boots and builds of a kernel; rates are compared, so that one may be longer. A
    difference counts if chance does not explain it, by the number of objects left or by the slope
    of what stood. Exit code 1 if something significant is new or grew that is neither too young to
    judge nor given back when memory is short; else 0.

    \b
    Examples:
      slabtrace diff yesterday.slab today.slab
      slabtrace diff old.slab new.slab --by cache --all
      slabtrace diff old.slab new.slab --json | jq '.groups[] | select(.state == "new")'
    """
    from slabtrace.analysis.leaks.diff import diff
    from slabtrace.render import json
    from slabtrace.render.terminal.diff import write_diff
    from slabtrace.render.terminal.suppressed import write_suppressed
    from slabtrace.render.terminal.verdict import write_verdict

    rules = read_suppressions(suppressions)
    before, after = open_trace(old), open_trace(new)
    groups_before, _ = _groups(before, by, caches, rules)
    groups_after, used = _groups(after, by, caches, rules)
    table = diff(groups_before, groups_after, before.length_ns, after.length_ns)
    found = table[_counts(table)]
    wanted = table if every else table[table["significant"]]
    shown = wanted.head(row_limit(limit, LIMIT, as_json) or len(wanted))
    if as_json:
        head = json.document("diff", new, after.completeness(), after.damage)
        head["suppressed"] = json.plain(used)
        sides = {"old": old, "old_completeness": json.plain(before.completeness()), "found": len(found)}
        json.write({**head, **sides, "groups": json.rows(shown, json.DIFF)}, sys.stdout)
    else:
        write_diff(sys.stdout, shown, len(wanted) - len(shown), len(table) - len(wanted), len(found))
        write_suppressed(sys.stdout, used)
        for name, trace in (("old", before), ("new", after)):
            sys.stdout.write(f"\n{name}:")
            write_verdict(sys.stdout, trace.completeness(), trace.damage)
    return EXIT_FOUND if len(found) else 0


def _groups(trace: Trace, by: str, caches: tuple[str, ...], rules: Any) -> Any:
    """Groups of a recording, and what the suppressions took of them."""
    groups = trace.leaks(by=by.replace("-", "_"))
    if caches:
        groups = filters.by_cache(groups, caches, filters.aliases(trace.caches()))
    return rules.apply(groups)


def _counts(table: Any) -> Any:
    """Which rows make the exit code 1."""
    more = table["significant"] & table["state"].isin(["new", "grown"])
    return more & table["class"].isin(["suspect", "retained"]) & ~table["own"].astype(bool)
