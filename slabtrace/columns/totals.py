# SPDX-License-Identifier: Apache-2.0
"""Columns of totals: by call site, cache, address and stack, and of peaks."""

from __future__ import annotations

from slabtrace.columns.table import DICTS, NUMBERS, TEXT, TEXTS, Column, Table

_BYTES = (
    Column("bytes_req", "int64", "B", "what these allocations asked for"),
    Column("bytes_alloc", "int64", "B", "what these allocations were given"),
)
_PINGPONG = Column("pingpong", "int64", "", "objects freed on another CPU than the one that allocated them")
_FRAG = Column("frag", "float64", "0 to 1", "1 - bytes_req / bytes_alloc: the share that nobody asked for")
_HITS = Column("hits", "int64", "", "allocations")

STAT = Table(
    "stat", "a call site, or a slab cache, that allocated", "stat",
    (
        Column("cache", TEXT, "", "slab cache; of a call site with several, the one with most hits"),
        Column("caches", "int64", "", "how many slab caches the row has"),
        Column("call_site", "uint64", "address", "who called the allocator; 0 (null in JSON) by cache"),
        Column("symbol", TEXT, "", "the call site as function+0x1a [module]"),
        _HITS,
        *_BYTES,
        Column("frees", "int64", "", "frees seen of what the row allocated, wherever they happened"),
        Column("inferred", "int64", "", "frees that were missed and inferred"),
        Column("outstanding", "int64", "", "objects not freed by the end of the recording"),
        _PINGPONG,
        _FRAG,
        Column("waste_bytes", "int64", "B", "bytes_alloc less bytes_req"),
        Column("crossnode", "int64", "", "objects freed on another NUMA node than the one that allocated them"),
        Column("atomic", "int64", "", "allocations that may not sleep (gfp_flags without __GFP_DIRECT_RECLAIM)"),
        Column("accounted", "int64", "", "allocations charged to a memory cgroup (__GFP_ACCOUNT)"),
        Column("zeroed", "int64", "", "allocations cleared by the allocator (__GFP_ZERO)"),
        Column("hits_estimate", "float64", "", "estimate of all allocations", sampled=True),
        Column("hits_error", "float64", "", "its error, 1.96 standard deviations", sampled=True),
    ),
    command="stat", json_list="rows",
)  # fmt: skip

PAGE_STAT = Table(
    "page totals", "a call site that allocated pages of an order with some gfp flags", 'stat(by="pages")',
    (
        Column("call_site", "uint64", "address", "who called the page allocator; 0 (null in JSON) if it is further out than the stack that was looked at"),
        Column("symbol", TEXT, "", "the call site as function+0x1a [module]"),
        Column("order", "int64", "", "a block has 2^order pages"),
        Column("migrate_type", TEXT, "", "Unmovable, Movable or Reclaimable: what the gfp flags ask for"),
        Column("gfp", TEXT, "", "the gfp flags, such as GFP_KERNEL|__GFP_ZERO"),
        Column("hits", "int64", "", "blocks allocated"),
        Column("bytes_alloc", "int64", "B", "their bytes"),
        Column("pages", "int64", "", "their pages"),
        Column("frees", "int64", "", "of these, pages freed: seen"),
        Column("inferred", "int64", "", "of these, pages whose free was missed and inferred"),
        Column("outstanding", "int64", "", "of these, pages not freed by the end of the recording"),
    ),
    command="stat --pages", json_list="rows",
)  # fmt: skip

POINTERS = Table(
    "pointers", "an address at which objects were allocated", 'stat(by="ptr")',
    (Column("ptr", "uint64", "address", "where the objects began"), _HITS, *_BYTES, _PINGPONG, _FRAG),
    command="stat --by ptr", json_list="rows",
)  # fmt: skip

PEAKS = Table(
    "peaks", "a slab cache that was allocated from", "peaks",
    (
        Column("cache", TEXT, "", "slab cache"),
        Column("ts_ns", "int64", "ns", "when it had the most objects outstanding, since the start of the recording"),
        Column("objects", "int64", "", "objects outstanding then, of those allocated while recording"),
        Column("bytes", "int64", "B", "their bytes"),
        Column("held_by", DICTS, "", "the call sites that had allocated most of them: call_site, symbol, objects, bytes"),
    ),
    command="stat --peaks", json_list="rows",
)  # fmt: skip

STACK_TOTALS = Table(
    "stack totals", "a slab cache and stack that allocated", "stack_totals",
    (
        Column("cache", TEXT, "", "slab cache"),
        Column("stack", TEXTS, "", "the kernel stack, innermost first; the call site where none was recorded"),
        Column("addresses", NUMBERS, "address", "the same as addresses"),
        Column("allocated_objects", "int64", "", "allocations"),
        Column("allocated_bytes", "int64", "B", "their bytes_alloc"),
        Column("freed_objects", "int64", "", "objects freed: seen, or inferred"),
        Column("freed_bytes", "int64", "B", "their bytes_alloc"),
        Column("outstanding_objects", "int64", "", "objects not freed by the end of the recording"),
        Column("outstanding_bytes", "int64", "B", "their bytes_alloc"),
    ),
)  # fmt: skip
