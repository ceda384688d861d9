# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mismatches`: frees and allocations that contradict each other."""

from __future__ import annotations

import sys

import click

from slabtrace.commands import _filters as filters
from slabtrace.commands._options import cache_option, json_option, limit_option, row_limit, trace_argument

LIMIT = 10


@click.command("mismatches")
@trace_argument
@cache_option
@limit_option(LIMIT)
@json_option
def command(trace: str, caches: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Show frees and allocations that contradict each other, as an object freed twice.

    Each finding shows the allocation, the first free and the second. An event that the recording
    missed can look like a mismatch: the confidence says whether one can have been missed here.

    \b
    Examples:
      slabtrace mismatches boot.slab
      slabtrace mismatches boot.slab --cache filp
      slabtrace mismatches boot.slab --json | jq '.findings | length'
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.mismatches import write_mismatches
    from slabtrace.render.verdict import write_verdict

    opened = slabtrace.open(trace)
    known = filters.aliases(opened.caches()) if caches else {}
    findings = filters.by_cache(opened.mismatches(), caches, known)
    shown = findings.head(row_limit(limit, LIMIT, as_json) or len(findings))
    completeness = opened.completeness()
    if as_json:
        head = json.document("mismatches", trace, completeness, opened.damage)
        json.write({**head, "findings": json.rows(shown, json.MISMATCHES)}, sys.stdout)
        return
    write_mismatches(sys.stdout, shown, len(findings) - len(shown))
    write_verdict(sys.stdout, completeness, opened.damage)
