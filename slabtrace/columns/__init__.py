# SPDX-License-Identifier: Apache-2.0
"""The one definition of every table: its columns with dtype, unit and meaning, and which values may be missing.

From here come the frames of the Python interface, the keys of `--json`, `help(trace.leaks)` and docs/tables.md
(`python -m slabtrace.columns` prints that page).  Nothing here imports pandas or anything else of slabtrace.
"""

from __future__ import annotations

from slabtrace.columns.caches import CACHES, RECONCILIATION
from slabtrace.columns.comparison import BROKEN_RULES, DIFF
from slabtrace.columns.leaks import ESTIMATES, FINDINGS, LEAKS, OUTSTANDING
from slabtrace.columns.lifetimes import LIFETIME_HISTOGRAM, LIFETIMES
from slabtrace.columns.mismatches import MISMATCHES
from slabtrace.columns.objects import OLDEST
from slabtrace.columns.over_time import ARRIVALS, CALL_SITE_USAGE, SIZE_CLASSES, USAGE
from slabtrace.columns.recording import LOSSES, MARKS, MODULES, TASKS
from slabtrace.columns.table import Column, Table, documented
from slabtrace.columns.totals import PEAKS, POINTERS, STACK_TOTALS, STAT
from slabtrace.columns.who import WHO

TABLES = (
    FINDINGS, LEAKS, OUTSTANDING, OLDEST, WHO, MISMATCHES, STAT, POINTERS, PEAKS, CACHES, RECONCILIATION, LIFETIMES, DIFF, BROKEN_RULES,
    USAGE, CALL_SITE_USAGE, SIZE_CLASSES, LIFETIME_HISTOGRAM, STACK_TOTALS, ARRIVALS, LOSSES, MARKS, TASKS, MODULES,
)  # fmt: skip

__all__ = [
    "ARRIVALS", "BROKEN_RULES", "CACHES", "CALL_SITE_USAGE", "DIFF", "ESTIMATES", "FINDINGS", "LEAKS",
    "LIFETIMES", "LIFETIME_HISTOGRAM", "LOSSES", "MARKS", "MISMATCHES", "MODULES", "OLDEST", "OUTSTANDING", "PEAKS", "POINTERS",
    "RECONCILIATION", "SIZE_CLASSES", "STACK_TOTALS", "STAT", "TABLES", "TASKS", "USAGE", "WHO", "Column", "Table",
    "documented",
]  # fmt: skip
