# SPDX-License-Identifier: Apache-2.0
"""`slabtrace info`: what was recorded, where, how, and how completely."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.options import trace_argument
from slabtrace.cli.progress import watched
from slabtrace.columns import MARKS, MODULES, RECONCILIATION

if TYPE_CHECKING:
    import pandas as pd


@click.command("info")
@trace_argument
@answer_options()
def command(trace: str, form: Form) -> None:
    """Show what was recorded, where and how, the marks, and how complete the trace is.

    Works on a trace that is still being recorded, or whose recorder was killed. Below the table come
    the caches whose change, by the kernel's own count, differs most from the traced one, with the
    likely reason; then how many leaks were found (`leaks` shows them), and the least leak that would have
    been; then what became of all memory of the machine (`account` shows it). The last paragraph says
    whether every allocation and free was seen, or what was missed and what that means.

    \b
    Examples:
      slabtrace info boot.slab
      slabtrace info boot.slab --json | jq .completeness.dropped
    """
    import slabtrace
    from slabtrace.render import json
    from slabtrace.render.terminal.info import write_info
    from slabtrace.render.terminal.machine.account import write_memory
    from slabtrace.render.terminal.outstanding.findings import write_sentences
    from slabtrace.render.terminal.reconcile import write_reconciliation
    from slabtrace.render.terminal.verdict import write_full_verdict

    opened = watched(slabtrace.open(trace))
    found = opened.verdict()  # first: the pass that it needs serves the others too
    accounts, marks = opened.reconciliation(), opened.marks()
    memory = opened.account_sentences()

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        write_info(out, trace, opened.manifest, opened.completeness(), opened.length_ns, marks)
        write_reconciliation(out, shown)
        write_sentences(out, found)
        write_memory(out, memory)

    more = {
        "manifest": opened.manifest,
        "marks": json.rows(marks, MARKS),
        "modules": json.rows(opened.modules(), MODULES),
        "verdict": found,
        "memory": memory,
    }
    rows = Rows(RECONCILIATION, accounts)
    answer(form, "info", trace, opened, rows, write, more, verdict=write_full_verdict)
