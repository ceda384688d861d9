# SPDX-License-Identifier: Apache-2.0
"""Columns of what happened over time, in equal parts (buckets) of the recording."""

from __future__ import annotations

from slabtrace.columns.table import NUMBERS, TEXT, TEXTS, Column, Table

_TS = Column("ts_ns", "int64", "ns", "end of the bucket, since the start of the recording")
_HELD = (
    Column("objects", "int64", "", "objects in use then, of those allocated while recording"),
    Column("bytes", "int64", "B", "bytes in use then, of what was allocated while recording"),
)
_TRAFFIC = (
    Column("allocs", "int64", "", "allocations within the bucket"),
    Column("frees", "int64", "", "frees within the bucket, seen or inferred"),
)
_MAYBE = "may have been freed already: their free was missed, and inferred later"
_EXPECTED = "if each free of maybe_freed came at any time alike until it was inferred"
_WITHOUT = "missing without a sample of slabinfo"

USAGE = Table(
    "usage", "a slab cache in a bucket", "usage",
    (
        _TS,
        Column("cache", TEXT, "", "slab cache"),
        Column(
            "objects", "int64", "",
            "objects in use then, at most: the first count of slabinfo plus what was traced since; without parked "
            "objects, as far as the slabs would else lack room; without slabinfo, or where some objects of the cache "
            "were left out on request, only what was traced",
        ),
        Column("bytes", "int64", "B", "bytes in use then, likewise"),
        *_TRAFFIC,
        Column("allocs_per_s", "float64", "1/s", "allocations a second"),
        Column("frees_per_s", "float64", "1/s", "frees a second"),
        Column("active_objs", "float64", "", f"the kernel's own count, parked objects included; {_WITHOUT}", nullable=True),
        Column("num_objs", "float64", "", f"objects that the cache's slabs have room for; {_WITHOUT}", nullable=True),
        Column("reserved", "float64", "B", f"size of the cache's slabs; {_WITHOUT}", nullable=True),
        Column("room", "float64", "", f"as num_objs; between two samples the larger of both; {_WITHOUT}", nullable=True),
        Column("maybe_freed", "int64", "", f"of objects: those that {_MAYBE}"),
        Column("objects_expected", "float64", "", f"objects in use then, {_EXPECTED}"),
        Column("bytes_expected", "float64", "B", f"bytes in use then, {_EXPECTED}"),
    ),
)  # fmt: skip

CALL_SITE_USAGE = Table(
    "usage by call site", "a call site in a bucket", "call_site_usage",
    (
        _TS,
        Column("call_site", "uint64", "address", "who called the allocator; 0 for all others together"),
        Column("symbol", TEXT, "", "the call site as function+0x1a [module]; (others)"),
        *_HELD,
        Column("bytes_expected", "float64", "B", f"bytes in use then, {_EXPECTED} (usage)"),
    ),
)  # fmt: skip

SIZE_CLASSES = Table(
    "size classes", "a size of objects in a bucket", "size_classes",
    (
        _TS,
        Column("size_class", "int64", "B", "the least power of two that holds an object's bytes_alloc, at least 8"),
        *_TRAFFIC,
        *_HELD,
    ),
)  # fmt: skip

ARRIVALS = Table(
    "arrivals", "a slab cache and stack with outstanding objects", "arrivals",
    (
        Column("cache", TEXT, "", "slab cache"),
        Column("call_site", "uint64", "address", "who called the allocator"),
        Column("stack", TEXTS, "", "the kernel stack, innermost first"),
        Column("objects", NUMBERS, "", "how many of the outstanding objects had been allocated by the end of each bucket"),
    ),
)  # fmt: skip
