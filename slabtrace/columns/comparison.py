# SPDX-License-Identifier: Apache-2.0
"""Columns of comparisons: two recordings with each other, and one with rules."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table


def _of_both(name: str, dtype: str, unit: str, meaning: str, nullable: bool = False) -> tuple[Column, Column]:
    """A column for the older recording, and one for the newer."""
    missing = "; missing where it has no such group" if nullable else ""
    old = Column(f"{name}_old", dtype, unit, f"{meaning} in the older recording{missing}", nullable)
    return old, Column(f"{name}_new", dtype, unit, f"{meaning} in the newer recording{missing}", nullable)


DIFF = Table(
    "diff", "a group of outstanding objects in two recordings", "(analysis.comparing.diff.diff)",
    (
        Column(
            "state", TEXT, "", "new, gone, grown or shrunk; growing: it grows in both, at rates that do not differ "
            "significantly; same",
        ),
        Column("significant", "bool", "", "chance does not explain the difference"),
        Column("compared", TEXT, "", "objects: how many are outstanding; rate: how many come a second and stay; or nothing"),
        Column("p", "float64", "0 to 1", "probability of such a difference by chance; 1 where nothing was compared"),
        Column("cache", TEXT, "", "slab cache; copies of a kmalloc cache (kmalloc-rnd-05-64) are one"),
        Column("stack", TEXTS, "", "functions of the stack, innermost first, by the names that other kernels have too"),
        Column("module", TEXT, "", "module of the call site, empty for the kernel itself", nullable=True),
        Column("class", TEXT, "", "class in the newer recording, else in the older"),
        *_of_both("class", TEXT, "", "class", nullable=True),
        Column("own", "bool", "", "allocated by slabtrace's recorder itself"),
        Column("finding", "int64", "", "rank of its finding in the newer recording, else in the older; 0: none"),
        *_of_both("outstanding", "int64", "", "objects outstanding"),
        *_of_both("outstanding_estimate", "int64", "", "all outstanding objects, estimated if it is a sample,"),
        *_of_both("bytes", "int64", "B", "bytes of the outstanding objects"),
        *_of_both("bytes_estimate", "int64", "B", "bytes of all outstanding objects, estimated if it is a sample,"),
        *_of_both("growth", "float64", "B/s", "growth", nullable=True),
        *_of_both("rate", "float64", "1/s", "objects a second that came and stayed", nullable=True),
        Column("why", TEXT, "", "the judgement of the newer recording, else of the older"),
    ),
    command="diff", json_list="groups",
)  # fmt: skip

BROKEN_RULES = Table(
    "broken rules", "a rule of `check` and what breaks it", "(analysis.rules.checks.broken)",
    (
        Column("rule", TEXT, "", "the rule as written in the rules file or option"),
        Column("finding", TEXT, "", "what breaks it"),
        Column("cache", TEXT, "", "slab cache of the owner, where it is a finding of `leaks`", nullable=True),
        Column("symbol", TEXT, "", "call site of the owner, where it is a finding of `leaks`", nullable=True),
        Column("stack", TEXTS, "", "stack of the owner, where it is a finding of `leaks`", nullable=True),
        Column("why", TEXT, "", "the judgement of the finding", nullable=True),
        Column("next", TEXT, "", "what to do about the finding", nullable=True),
    ),
    command="check", json_list="findings",
)  # fmt: skip
