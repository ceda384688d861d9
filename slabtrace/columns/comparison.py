# SPDX-License-Identifier: Apache-2.0
"""Columns of comparisons: two recordings with each other, and one with rules."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table

_ONE_SIDED = "missing where only the other recording has the group"

DIFF = Table(
    "diff", "a group of outstanding objects in two recordings", "(analysis.leaks.diff.diff)",
    (
        Column("state", TEXT, "", "new, gone, grown, shrunk or same"),
        Column("significant", "bool", "", "chance does not explain the difference"),
        Column("p", "float64", "0 to 1", "probability of such a difference by chance, of the more telling test"),
        Column("cache", TEXT, "", "slab cache"),
        Column("stack", TEXTS, "", "functions of the stack, innermost first, without offsets"),
        Column("module", TEXT, "", "module of the call site, empty for the kernel itself", nullable=True),
        Column("class", TEXT, "", "class in the newer recording, else in the older"),
        Column("own", "bool", "", "allocated by slabtrace's recorder itself"),
        Column("outstanding_old", "int64", "", "objects outstanding in the older recording"),
        Column("outstanding_new", "int64", "", "objects outstanding in the newer recording"),
        Column("bytes_old", "int64", "B", "their bytes in the older recording"),
        Column("bytes_new", "int64", "B", "their bytes in the newer recording"),
        Column("growth_old", "float64", "B/s", f"growth in the older recording; {_ONE_SIDED}", nullable=True),
        Column("growth_new", "float64", "B/s", f"growth in the newer recording; {_ONE_SIDED}", nullable=True),
        Column("why", TEXT, "", "the judgement of the newer recording, else of the older"),
    ),
    command="diff", json_list="groups",
)  # fmt: skip

BROKEN_RULES = Table(
    "broken rules", "a rule of `check` and what breaks it", "(analysis.leaks.checks.broken)",
    (
        Column("rule", TEXT, "", "the rule as written in the rules file or option"),
        Column("finding", TEXT, "", "what breaks it"),
        Column("cache", TEXT, "", "slab cache, where the finding is a group", nullable=True),
        Column("symbol", TEXT, "", "call site, where the finding is a group", nullable=True),
        Column("stack", TEXTS, "", "stack, where the finding is a group", nullable=True),
        Column("why", TEXT, "", "the judgement of the group", nullable=True),
    ),
    command="check", json_list="findings",
)  # fmt: skip
