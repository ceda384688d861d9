# SPDX-License-Identifier: Apache-2.0
"""Columns of mismatches: frees that contradict what was seen before."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, Column, Table

EVENT = "dict or None"  # ts_ns, symbol, stack, comm, pid, …

MISMATCHES = Table(
    "mismatches", "a free that contradicts what was seen before", "mismatches",
    (
        Column("kind", TEXT, "", "double-free, invalid-free or wrong-cache-free"),
        Column("ptr", "uint64", "address", "the address that was freed"),
        Column("cache", TEXT, "", "slab cache of the object"),
        Column(
            "confidence", TEXT, "",
            "exact (confirmed): nothing was missed that would explain it; bounded (upper bound): maybe_missed "
            "missed events would; unprovable (unverified): no number is known",
        ),
        Column(
            "maybe_missed", "Int64", "", "events that may have been missed and would explain it; missing where "
            "no number is known", nullable=True,
        ),
        Column("offset", "Int64", "B", "of an invalid free, how far into the object; else missing", nullable=True),
        Column("named_cache", TEXT, "", "of a wrong-cache free, the cache that was named; missing where hidden", nullable=True),
        Column(
            "supported", "bool", "", "whether what was seen supports the finding: missed events do not explain it. Only "
            "such findings are listed and counted (`--all` lists the others)",
        ),
        Column("explained_by", TEXT, "", "what explains a finding that is not supported; else empty"),
        Column("alloc", EVENT, "", "the allocation, where it was seen", nullable=True),
        Column("first_free", EVENT, "", "the first free", nullable=True),
        Column("second_free", EVENT, "", "the free that contradicts it", nullable=True),
    ),
    command="mismatches", json_list="findings",
)  # fmt: skip
