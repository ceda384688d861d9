# SPDX-License-Identifier: Apache-2.0
"""The one definition of every table: its columns with dtype, unit and meaning, and which values may be missing.

From here come the frames of the Python interface, the keys of `--json`, `help(trace.leaks)` and docs/tables.md
(`python -m slabtrace.columns` prints that page).  Nothing here imports pandas or anything else of slabtrace.
"""

from __future__ import annotations

from slabtrace.columns.caches import CACHES, RECONCILIATION
from slabtrace.columns.comparison import BROKEN_RULES, DIFF
from slabtrace.columns.fleet import DIGEST, FLEET, FLEET_DIFF
from slabtrace.columns.leaks import ESTIMATES, FINDINGS, LEAKS, OUTSTANDING
from slabtrace.columns.lifetimes import LIFETIME_HISTOGRAM, LIFETIMES
from slabtrace.columns.machine.inspected import CENSUS_CACHES, CENSUS_CGROUPS, CENSUS_GROUPS, OBJECTS
from slabtrace.columns.machine.memory import ACCOUNT, COUNTERS, MEMORY_PARTS
from slabtrace.columns.machine.snapshots import SNAPSHOTS
from slabtrace.columns.mismatches import MISMATCHES
from slabtrace.columns.objects import OLDEST
from slabtrace.columns.over_time import ARRIVALS, CALL_SITE_USAGE, SIZE_CLASSES, USAGE
from slabtrace.columns.recording import LOSSES, MARKS, MODULES, TASKS
from slabtrace.columns.table import Column, Table, documented
from slabtrace.columns.totals import PAGE_STAT, PEAKS, POINTERS, STACK_TOTALS, STAT
from slabtrace.columns.who import WHO

TABLES = (
    FINDINGS, LEAKS, OUTSTANDING, OLDEST, WHO, MISMATCHES, STAT, PAGE_STAT, POINTERS, PEAKS, CACHES, RECONCILIATION, LIFETIMES, DIFF, BROKEN_RULES,
    USAGE, CALL_SITE_USAGE, SIZE_CLASSES, LIFETIME_HISTOGRAM, STACK_TOTALS, ARRIVALS, LOSSES, MARKS, TASKS, MODULES,
    SNAPSHOTS,
    DIGEST, FLEET, FLEET_DIFF,
    ACCOUNT, MEMORY_PARTS, COUNTERS,
    OBJECTS, CENSUS_GROUPS, CENSUS_CACHES, CENSUS_CGROUPS,
)  # fmt: skip

__all__ = [
    "ACCOUNT", "ARRIVALS", "BROKEN_RULES", "CACHES", "CALL_SITE_USAGE", "CENSUS_CACHES", "CENSUS_CGROUPS",
    "CENSUS_GROUPS", "COUNTERS", "DIFF", "DIGEST", "ESTIMATES", "FINDINGS", "FLEET", "FLEET_DIFF", "LEAKS",
    "LIFETIMES", "LIFETIME_HISTOGRAM", "LOSSES", "MARKS", "MEMORY_PARTS", "MISMATCHES", "MODULES", "OBJECTS",
    "OLDEST", "OUTSTANDING", "PAGE_STAT", "PEAKS", "POINTERS", "RECONCILIATION", "SIZE_CLASSES", "SNAPSHOTS", "STACK_TOTALS",
    "STAT", "TABLES", "TASKS", "USAGE", "WHO", "Column", "Table",
    "documented",
]  # fmt: skip
