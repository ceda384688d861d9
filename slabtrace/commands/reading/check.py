# SPDX-License-Identifier: Apache-2.0
"""`slabtrace check`: whether a trace keeps given rules; exit code 1 and what breaks them if not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import trace_argument
from slabtrace.cli.toml_files import read_suppressions, read_toml, suppressions_option
from slabtrace.columns import BROKEN_RULES
from slabtrace.errors import FOUND

if TYPE_CHECKING:
    from slabtrace.analysis.rules.checks import Rules


@click.command("check")
@trace_argument
@click.option("--rules", "rules_file", metavar="FILE", help="Take [check] and [[suppress]] from a TOML file.")
@click.option(
    "--max-suspects", type=click.IntRange(min=0), metavar="N", help="At most N suspects (default 0)."
)
@click.option("--max-growth", metavar="SIZE/TIME", help="No finding certainly grows faster, like 1MiB/min.")
@click.option("--max-outstanding", metavar="SIZE", help="At most this outstanding in all, like 64MiB.")
@click.option(
    "--max-mismatches", type=click.IntRange(min=0), metavar="N", help="At most N supported mismatches."
)
@click.option("--max-lost", type=click.IntRange(min=0), metavar="N", help="At most N events lost.")
@click.option("--exact", is_flag=True, default=None, help="No event may have been missed.")
@click.option(
    "--reclaimable",
    is_flag=True,
    default=None,
    help="Count reclaimable findings as growth and outstanding too.",
)
@suppressions_option
@window_options
@answer_options()
def command(
    trace: str,
    rules_file: str | None,
    suppressions: str | None,
    begin: str | None,
    end: str | None,
    form: Form,
    **options: Any,
) -> int:
    """Check a trace against rules, for CI: exit code 0 if it keeps them all, 1 if not.

    Rules come from a file and from options, which override the file. Without any rule, the trace may
    have no suspect. The rules count findings: an owner and what comes with it, one with one. Suppressed
    findings do not count; the output says how many each suppression matched. Findings of slabtrace itself
    never count, reclaimable ones only with --reclaimable; the output says how many were left out.

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
    from slabtrace.analysis.rules.checks import broken, not_counted
    from slabtrace.render.terminal.check import write_check

    rules = _rules(rules_file, options)
    known = read_suppressions(rules_file, suppressions)
    opened = open_trace(trace, begin, end)
    findings, used = known.apply(opened.findings())
    mismatches = opened.mismatches() if rules.max_mismatches is not None else None
    one_in = opened.manifest.sampled_one_in
    failed = broken(rules, findings, mismatches, opened.completeness(), one_in)
    left_out = not_counted(rules, findings, mismatches, one_in)
    rows = Rows(BROKEN_RULES, failed)
    more = {"passed": failed.empty, "not_counted": left_out, "suppressed": used}
    answer(
        form,
        "check",
        trace,
        opened,
        rows,
        lambda out, shown: write_check(out, shown, rules, left_out, used),
        more,
    )
    return 0 if failed.empty else FOUND


def _rules(path: str | None, options: dict[str, Any]) -> Rules:
    """The rules of the file, overridden by the options; without any, no suspect is allowed."""
    from slabtrace.analysis.rules import checks

    rules = checks.parse(read_toml(path).get("check", {}), path) if path else checks.Rules()
    for name, value in options.items():
        if value is not None:
            parsed = {"max_growth": checks.growth, "max_outstanding": checks.amount}.get(name)
            setattr(rules, name, parsed(value) if parsed else value)
    if not rules.any:
        rules.max_suspects = 0
    return rules
