# SPDX-License-Identifier: Apache-2.0
"""Columns of the whole memory: where it went between two moments, and each part over time."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, Column, Table

_PER = "missing where there are too few samples to say"

ACCOUNT = Table(
    "account", "a part of memory, or an item of one (a slab cache, a caller of vmalloc, a protocol)", "account",
    (
        Column("part", TEXT, "", "the part of memory, as docs/account.md lists them; each page is in one of them, but those of sockets and pipes"),
        Column("item", TEXT, "", "what of the part; empty for the whole of it"),
        Column("before", "float64", "B", "bytes at the first moment; missing where the counter could not be read", nullable=True),
        Column("after", "float64", "B", "bytes at the second moment; likewise", nullable=True),
        Column("change", "float64", "B", "after less before; likewise", nullable=True),
        Column("class", TEXT, "", "growing, retained (it came once, or no longer comes), flat or shrinking; empty where there are too few samples to say"),
        Column("growth_bytes_per_s", "float64", "B/s", f"how fast it grew; {_PER}", nullable=True),
        Column("growth_low", "float64", "B/s", f"lower end of its 95 % interval; {_PER}", nullable=True),
        Column("growth_high", "float64", "B/s", f"upper end of its 95 % interval; {_PER}", nullable=True),
        Column("traced", "float64", "B", "of a slab cache and of large kmalloc: bytes allocated less bytes freed, as traced; missing elsewhere, and without a trace", nullable=True),
        Column("counted_in", TEXT, "", "where the same bytes are counted as well (sockets, pipes); empty for the parts that add up"),
        Column("says", TEXT, "", "what the part is and which counters it is made of; empty for an item"),
    ),
    command="account", json_list="account",
)  # fmt: skip

MEMORY_PARTS = Table(
    "memory", "a part of memory at one time", "memory",
    (
        Column("ts_ns", "int64", "ns", "when, since the start of the recording"),
        Column("part", TEXT, "", "the part, as in account"),
        Column("bytes", "float64", "B", "its bytes; missing where the counter could not be read", nullable=True),
    ),
)  # fmt: skip

COUNTERS = Table(
    "counters", "a counter of memory", "counters",
    (
        Column("counter", TEXT, "", "the kernel's name for it, after the file it is from: meminfo.MemFree; callers of vmalloc come from the traced machine"),
        Column("before", "float64", "", "at the first moment: bytes, or a count; missing where it was not known yet", nullable=True),
        Column("after", "float64", "", "at the second moment", nullable=True),
    ),
)  # fmt: skip
