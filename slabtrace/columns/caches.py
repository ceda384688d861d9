# SPDX-License-Identifier: Apache-2.0
"""Columns of slab caches: what was traced in them beside what the kernel counted."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table

_CACHE = Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all")
_ALIASES = Column("aliases", TEXTS, "", "names of the caches merged into it")
_SLACK = "how much of the difference can be parked objects and unsampled moments"
_WITHOUT = "the kernel has no count, or --cache left the cache out of the recording"
_SHARE = "share of the larger of both changes that the other one matches"
_WHY = "the likely reason of the difference; empty if there is none"

CACHES = Table(
    "caches", "a slab cache", "caches",
    (
        _CACHE,
        _ALIASES,
        Column("object_size", "int64", "B", "size of an object as its users see it"),
        Column("size", "int64", "B", "size of an object in its slab"),
        Column("allocs", "int64", "", "allocations"),
        Column("frees", "int64", "", "frees seen, of objects allocated before or while recording"),
        Column("inferred", "int64", "", "frees that were missed and inferred"),
        Column("old_frees", "int64", "", "of frees: those of objects older than the recording"),
        Column("second_frees", "int64", "", "frees of what was freed already; not in frees"),
        Column("outstanding", "int64", "", "objects allocated while recording and not freed"),
        Column("peak_outstanding", "int64", "", "the most of these at once"),
        Column("bytes_req", "int64", "B", "what all allocations asked for"),
        Column("bytes_alloc", "int64", "B", "what all allocations were given"),
        Column("waste_bytes", "int64", "B", "bytes_alloc less bytes_req"),
        Column("slabinfo_start", "Int64", "", "the kernel's count (active_objs) at the start; missing without", nullable=True),
        Column("slabinfo_end", "Int64", "", "the kernel's count (active_objs) at the end; missing without", nullable=True),
        Column(
            "unexplained", "Int64", "",
            "the difference: the kernel's change less the traced one (allocs - frees - inferred); missing "
            f"where {_WITHOUT}", nullable=True,
        ),
        Column("slack", "float64", "", f"{_SLACK}; missing where {_WITHOUT}", nullable=True),
        Column("explained", "float64", "0 to 1", f"{_SHARE}; missing where {_WITHOUT}", nullable=True),
        Column("why", TEXT, "", f"{_WHY}; missing where {_WITHOUT}", nullable=True),
    ),
    command="caches", json_list="caches",
)  # fmt: skip

RECONCILIATION = Table(
    "reconciliation", "a recorded slab cache that slabinfo knows", "reconciliation",
    (
        _CACHE,
        _ALIASES,
        Column("kernel", "int64", "", "change of the kernel's count (active_objs) over the recording"),
        Column("traced", "int64", "", "allocations less frees, seen or inferred"),
        Column("residue", "int64", "", "the difference of both"),
        Column("slack", "int64", "", _SLACK),
        Column("explained", "float64", "0 to 1", _SHARE),
        Column("why", TEXT, "", _WHY),
    ),
    command="info", json_list="reconciliation",
)  # fmt: skip
