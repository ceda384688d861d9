# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mismatches`: frees that contradict what was seen before."""

from __future__ import annotations

import sys

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.options import cache_option, json_option, limit_option, row_limit, trace_argument
from slabtrace.cli.progress import watched

LIMIT = 10
WATCHES_COMPLAINTS = "on_wrong_cache_free"  # the program of bpf/silent.h


@click.command("mismatches")
@trace_argument
@cache_option
@limit_option(LIMIT)
@json_option
def command(trace: str, caches: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Show double frees, frees inside an object, and frees to the wrong cache.

    Each finding shows the object's allocation and its frees: when, on which CPU, by whom, from where.
    An event that the recording missed can look like a mismatch: the confidence says whether one can
    have been missed here, and the surest findings come first.

    \b
    Examples:
      slabtrace mismatches boot.slab
      slabtrace mismatches boot.slab --cache filp
      slabtrace mismatches boot.slab --json | jq '.findings | length'
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.terminal.mismatches import write_mismatches, write_unseen_kind
    from slabtrace.render.terminal.verdict import write_verdict

    opened = watched(slabtrace.open(trace))
    known = filters.aliases(opened.caches()) if caches else {}
    findings = filters.by_cache(opened.mismatches(), caches, known)
    shown = findings.head(row_limit(limit, LIMIT, as_json) or len(findings))
    completeness = opened.completeness()
    if as_json:
        head = json.document("mismatches", trace, completeness, opened.damage)
        json.write({**head, "findings": json.rows(shown, json.MISMATCHES)}, sys.stdout)
        return
    write_mismatches(sys.stdout, shown, len(findings) - len(shown))
    if WATCHES_COMPLAINTS not in opened.manifest.coverage.attached:
        write_unseen_kind(sys.stdout)
    write_verdict(sys.stdout, completeness, opened.damage)
