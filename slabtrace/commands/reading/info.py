# SPDX-License-Identifier: Apache-2.0
"""`slabtrace info`: what was recorded, where, how, and the verdict on its completeness."""

from __future__ import annotations

import sys

import click

from slabtrace.cli.options import json_option, trace_argument
from slabtrace.cli.progress import watched


@click.command("info")
@trace_argument
@json_option
def command(trace: str, as_json: bool) -> None:
    """Show what was recorded, where, how, and how completely.

    Works on a trace that is still being recorded, or whose recorder was killed. The last line is
    the verdict: whether every allocation and free was seen, or what was not. Before it come the
    caches whose change by the kernel's own count differs most from the traced one, and why it may.

    \b
    Examples:
      slabtrace info boot.slab
      slabtrace info boot.slab --json | jq .completeness.dropped
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.terminal.info import write_info
    from slabtrace.render.terminal.reconcile import write_reconciliation
    from slabtrace.render.terminal.verdict import write_verdict

    opened = watched(slabtrace.open(trace))
    completeness, accounts = opened.completeness(), opened.reconciliation()
    if as_json:
        head = json.document("info", trace, completeness, opened.damage)
        rows = json.rows(accounts, json.RECONCILIATION)
        json.write({**head, "manifest": json.plain(opened.manifest), "reconciliation": rows}, sys.stdout)
        return
    write_info(sys.stdout, trace, opened.manifest, completeness, opened.length_ns)
    write_reconciliation(sys.stdout, accounts)
    write_verdict(sys.stdout, completeness, opened.damage)
