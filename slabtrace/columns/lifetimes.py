# SPDX-License-Identifier: Apache-2.0
"""Columns of lifetimes: how long objects lived."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table

_NONE_FREED = "missing where nothing was freed"

LIFETIMES = Table(
    "lifetimes", "a group of objects of one cache that were allocated", "lifetime_table",
    (
        Column("cache", TEXT, "", "slab cache"),
        Column("call_site", "uint64", "address", "who called the allocator; 0 (null in JSON) where a row has several"),
        Column("symbol", TEXT, "", "the call site as function+0x1a [module]"),
        Column("stack", TEXTS, "", "the kernel stack of the allocation, innermost first; empty if none was recorded"),
        Column("module", TEXT, "", "module of the call site, empty for the kernel itself; missing where a row has several", nullable=True),
        Column("allocated", "int64", "", "objects allocated while recording"),
        Column("freed", "int64", "", "objects whose lifetime is known: frees seen or inferred"),
        Column("p50_ns", "float64", "ns", f"median lifetime; {_NONE_FREED}", nullable=True),
        Column("p90_ns", "float64", "ns", f"90 of 100 objects lived shorter; {_NONE_FREED}", nullable=True),
        Column("p99_ns", "float64", "ns", f"99 of 100 objects lived shorter; {_NONE_FREED}", nullable=True),
        Column("longest_ns", "float64", "ns", f"upper bound of the longest lifetime; {_NONE_FREED}", nullable=True),
        Column("temporary", "int64", "", "objects freed within a millisecond by the task that allocated them"),
        Column("survivors", "int64", "", "objects not freed by the end of the recording"),
        Column("histogram", "list of (from_ns, to_ns, objects)", "ns", "lifetimes by powers of two, shortest first"),
    ),
    command="lifetimes", json_list="rows",
)  # fmt: skip

LIFETIME_HISTOGRAM = Table(
    "lifetime histogram", "a slab cache and a range of lifetimes", "lifetime_histogram",
    (
        Column("cache", TEXT, "", "slab cache"),
        Column("from_ns", "float64", "ns", "shortest lifetime of the range"),
        Column("to_ns", "float64", "ns", "longest lifetime of the range"),
        Column("objects", "int64", "", "objects that lived so long"),
    ),
)  # fmt: skip
