# SPDX-License-Identifier: Apache-2.0
"""`slabtrace check`: whether a trace keeps given rules; exit code 1 and what breaks them if not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import by_option, trace_argument
from slabtrace.cli.rules_file import read_suppressions, read_toml, suppressions_option
from slabtrace.columns import BROKEN_RULES
from slabtrace.errors import FOUND

if TYPE_CHECKING:
    from slabtrace.analysis.leaks.checks import Rules

BY = ["stack", "call-site", "module", "cache"]


@click.command("check")
@trace_argument
@click.option("--rules", "rules_file", metavar="FILE", help="Take [check] and [[suppress]] from a TOML file.")
@click.option(
    "--max-suspects", type=click.IntRange(min=0), metavar="N", help="At most N suspects (default 0)."
)
@click.option("--max-growth", metavar="SIZE/TIME", help="No group certainly grows faster, like 1MiB/min.")
@click.option("--max-outstanding", metavar="SIZE", help="At most this outstanding in all, like 64MiB.")
@click.option("--max-mismatches", type=click.IntRange(min=0), metavar="N", help="At most N mismatches.")
@click.option("--max-lost", type=click.IntRange(min=0), metavar="N", help="At most N events lost.")
@click.option("--exact", is_flag=True, default=None, help="No event may have been missed.")
@by_option(BY, "stack", "Group the objects of each cache by this.")
@suppressions_option
@window_options
@answer_options()
def command(
    trace: str,
    rules_file: str | None,
    by: str,
    suppressions: str | None,
    begin: str | None,
    end: str | None,
    form: Form,
    **options: Any,
) -> int:
    """Check a trace against rules, for CI: exit code 0 if it keeps them all, 1 if not.

    Rules come from a file and from options, which override the file. Without any rule, the trace may
    have no suspect. Suppressed groups do not count; the output says how many each suppression matched.
    Groups of slabtrace itself never count.

    \b
    Examples:
      slabtrace check t.slab
      slabtrace check t.slab --max-growth 100KiB/min --max-mismatches 0
      slabtrace check t.slab --rules slab-rules.toml

    \b
    slab-rules.toml:
      [check]
      max_suspects = 0
      max_growth = "1MiB/min"
      [[suppress]]
      stack = ["load_msg", "do_msgsnd"]
    """
    from slabtrace.analysis.leaks.checks import broken
    from slabtrace.render.terminal.check import write_check

    rules = _rules(rules_file, options)
    known = read_suppressions(rules_file, suppressions)
    opened = open_trace(trace, begin, end)
    groups, used = known.apply(opened.leaks(by=by))
    mismatches = opened.mismatches() if rules.max_mismatches is not None else None
    findings = broken(rules, groups, mismatches, opened.completeness())
    rows = Rows(BROKEN_RULES, findings)
    more = {"passed": findings.empty, "suppressed": used}
    answer(form, "check", trace, opened, rows, lambda out, shown: write_check(out, shown, rules, used), more)
    return 0 if findings.empty else FOUND


def _rules(path: str | None, options: dict[str, Any]) -> Rules:
    """The rules of the file, overridden by the options; without any, no suspect is allowed."""
    from slabtrace.analysis.leaks import checks

    rules = checks.parse(read_toml(path).get("check", {}), path) if path else checks.Rules()
    for name, value in options.items():
        if value is not None:
            parsed = {"max_growth": checks.growth, "max_outstanding": checks.amount}.get(name)
            setattr(rules, name, parsed(value) if parsed else value)
    if not rules.any:
        rules.max_suspects = 0
    return rules
