# SPDX-License-Identifier: Apache-2.0
"""`slabtrace check`: does a trace keep the rules?  Exit code 1 and the offenders if not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import json_option, trace_argument
from slabtrace.cli.rules_file import read_suppressions, read_toml, suppressions_option
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
@click.option("--max-growth", metavar="SIZE/TIME", help="No group surely grows faster, as 1MiB/min.")
@click.option("--max-outstanding", metavar="SIZE", help="At most so much outstanding in all, as 64MiB.")
@click.option("--max-mismatches", type=click.IntRange(min=0), metavar="N", help="At most N mismatched frees.")
@click.option("--max-lost", type=click.IntRange(min=0), metavar="N", help="At most N events lost.")
@click.option("--exact", is_flag=True, default=None, help="Nothing at all may have been missed.")
@click.option("--by", type=click.Choice(BY), default="stack", show_default=True, help="What makes a group.")
@suppressions_option
@window_options
@json_option
def command(
    trace: str,
    rules_file: str | None,
    by: str,
    suppressions: str | None,
    begin: str | None,
    end: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Check a trace against rules, for CI: exit code 0 if it keeps them all, 1 if not.

    Rules come from the options and a file (options go first); without any, there may be no suspect.
    Suppressed groups do not count; how many each suppression matched is shown.

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
    from slabtrace.render import json
    from slabtrace.render.terminal.check import write_check
    from slabtrace.render.terminal.verdict import write_verdict

    rules = _rules(rules_file, options)
    known = read_suppressions(rules_file, suppressions)
    opened = open_trace(trace, begin, end)
    groups, used = known.apply(opened.leaks(by=by.replace("-", "_")))
    mismatches = opened.mismatches() if rules.max_mismatches is not None else None
    completeness = opened.completeness()
    findings = broken(rules, groups, mismatches, completeness)
    if as_json:
        head = json.document("check", trace, completeness, opened.damage)
        rows = json.rows(findings, json.CHECK)
        json.write(
            {**head, "passed": findings.empty, "suppressed": json.plain(used), "findings": rows}, sys.stdout
        )
    else:
        write_check(sys.stdout, findings, rules, used)
        write_verdict(sys.stdout, completeness, opened.damage)
    return 0 if findings.empty else FOUND


def _rules(path: str | None, options: dict[str, Any]) -> Rules:
    """The file's rules, the options over them; no suspects where there are none."""
    from slabtrace.analysis.leaks import checks

    rules = checks.parse(read_toml(path).get("check", {}), path) if path else checks.Rules()
    for name, value in options.items():
        if value is not None:
            parsed = {"max_growth": checks.growth, "max_outstanding": checks.amount}.get(name)
            setattr(rules, name, parsed(value) if parsed else value)
    if not rules.any:
        rules.max_suspects = 0
    return rules
