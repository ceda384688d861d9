# SPDX-License-Identifier: Apache-2.0
"""Columns of groups of outstanding objects, and of the judgement of them."""

from __future__ import annotations

from slabtrace.columns.table import NUMBERS, TEXT, TEXTS, Column, Table

_GROUP = (
    Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all"),
    Column("call_site", "uint64", "address", "who called the allocator; 0 (null in JSON) where a row has several"),
    Column("symbol", TEXT, "", "the call site as function+0x1a [module]; a module or cache where rows are those"),
    Column("stack", TEXTS, "", "the kernel stack of the allocation, innermost first; empty if none was recorded"),
    Column("allocated", "int64", "", "objects allocated while recording"),
    Column("freed", "int64", "", "of these, objects freed: seen, or inferred (a missed free)"),
    Column("outstanding", "int64", "", "of these, objects not freed by the end of the recording"),
    Column("bytes_req", "int64", "B", "what was asked for, of the outstanding objects"),
    Column("bytes_alloc", "int64", "B", "what the outstanding objects occupy"),
    Column("oldest_ns", "int64", "ns", "when the oldest outstanding object was allocated, since the start"),
    Column("newest_ns", "int64", "ns", "when the newest outstanding object was allocated, since the start"),
    Column("comms", TEXTS, "", "names of the tasks that allocated the outstanding objects, most objects first"),
    Column("pids", NUMBERS, "", "processes (tgid) that allocated the outstanding objects, most objects first"),
    Column("own", "bool", "", "all of them were allocated by slabtrace's recorder itself"),
    Column(
        "confidence", TEXT, "",
        "exact (confirmed): no outstanding object can have been freed unseen; bounded (upper bound): at most "
        "maybe_freed of them; unprovable (unverified): no number is known",
    ),
    Column(
        "maybe_freed", "Int64", "", "how many of the outstanding objects may have been freed unseen, at most; "
        "missing where no number is known", nullable=True,
    ),
    Column("in_use", "int64", "", "outstanding objects that their slabs held in use at the end of the recording"),
    Column(
        "module", TEXT, "", "module of the call site, empty for the kernel itself; missing where a row has several",
        nullable=True,
    ),
    Column("reclaimable", "bool", "", "the cache has the flag SLAB_RECLAIM_ACCOUNT"),
    Column("stack_of", "int64", "", "outstanding objects known to have the stack shown"),
    Column("stacked", "int64", "", "outstanding objects whose stack is known"),
    Column("stacks", "int64", "", "different stacks of the group"),
)  # fmt: skip

_JUDGEMENT = (
    Column("class", TEXT, "", "suspect, retained, young or reclaimable"),
    Column("score", "float64", "0 to 1", "share of old objects not freed x steadiness x certainty of the growth"),
    Column("why", TEXT, "", "the judgement in one sentence"),
    Column("growth_bytes_per_s", "float64", "B/s", "how fast the outstanding bytes grow (a robust slope)"),
    Column("growth_low", "float64", "B/s", "lower end of the growth's interval (95 %)"),
    Column("growth_high", "float64", "B/s", "upper end of the growth's interval (95 %)"),
    Column("old", "int64", "", "outstanding objects older than horizon_ns"),
    Column("old_freed", "int64", "", "objects that were freed after they had grown older than horizon_ns"),
    Column("horizon_ns", "int64", "ns", "the age from which on few objects of the group are freed; 0: none was found"),
    Column(
        "sibling_ns", "float64", "ns", "median lifetime of the group's freed objects; missing where none was freed",
        nullable=True,
    ),
    Column("steadiness", "float64", "0 to 1", "how evenly the old objects came over the recording"),
    Column("late_share", "float64", "0 to 1", "share of the old objects that came in the later half"),
)  # fmt: skip

_ESTIMATES = (
    Column("outstanding_estimate", "float64", "", "estimate of all outstanding objects", sampled=True),
    Column("outstanding_error", "float64", "", "its error, 1.96 standard deviations", sampled=True),
    Column("bytes_estimate", "float64", "B", "estimate of all outstanding bytes", sampled=True),
    Column("bytes_error", "float64", "B", "its error, 1.96 standard deviations", sampled=True),
)  # fmt: skip

_RANK = (Column("rank", "int64", "", "from 1: suspects first, by certain growth; then by class and bytes"),)
_ROW = "a group of objects of one cache that are outstanding"

OUTSTANDING = Table("outstanding", _ROW, "outstanding", _GROUP)
JUDGEMENT = Table("judgement", _ROW, "leaks", _JUDGEMENT)  # a part of LEAKS
ESTIMATES = Table("estimates", _ROW, "leaks", _ESTIMATES)  # a part of LEAKS
LEAKS = Table(
    "leaks", _ROW, "leaks", (*_RANK, *_GROUP, *_JUDGEMENT, *_ESTIMATES), command="leaks", json_list="groups"
)
