# SPDX-License-Identifier: Apache-2.0
"""Columns of objects that were inspected, and of a census."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table

_OBJECTS = Column("objects", "int64", "", "objects in use, by the allocator's own lists")
_BYTES = Column("bytes", "int64", "B", "what these occupy")

OBJECTS = Table(
    "inspected objects", "an outstanding object that was inspected when the recording ended", "inspected",
    (
        Column("finding", "int64", "", "rank of the finding that it belongs to; 0: of none"),
        Column("ptr", "uint64", "address", "where it begins; made up in a redacted trace"),
        Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all"),
        Column("bytes_alloc", "int64", "B", "what it occupies"),
        Column("held", TEXT, "", "process, kernel: who holds it; cached: the kernel may give it up; lost: nothing that was searched points at it; unknown; gone: it was free by then"),
        Column("kind", TEXT, "", "what it is, as dentry or sock; empty if that is not known"),
        Column("description", TEXT, "", "its name, path, addresses and state, …; empty if they are not known"),
        Column("references", "Int64", "", "its reference count; missing where it has none", nullable=True),
        Column("holders", TEXTS, "", "who holds it, the nearest first"),
    ),
    command="leaks", json_list="inspected",
)  # fmt: skip
CENSUS_CACHES = Table(
    "census by cache", "a slab cache of a live machine", "(slabtrace.capture, by `slabtrace census`)",
    (
        Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all"),
        Column("aliases", TEXTS, "", "other names of the cache"),
        _OBJECTS, _BYTES,
        Column("slab_bytes", "int64", "B", "all of its slabs, free objects included"),
        Column("unread", "int64", "", "slabs whose objects are not counted: they changed at each of eight tries, or there was no time"),
    ),
    command="census --by cache", json_list="caches",
)  # fmt: skip
CENSUS_CGROUPS = Table(
    "census by cgroup", "a memory cgroup that objects of a live machine are charged to", "(slabtrace.capture, by `slabtrace census`)",
    (Column("cgroup", TEXT, "", "its path; empty: not charged to any"), _OBJECTS, _BYTES),
    command="census --by cgroup", json_list="cgroups",
)  # fmt: skip
CENSUS_GROUPS = Table(
    "census by description", "objects of a live machine that have one description", "(slabtrace.capture, by `slabtrace census`)",
    (
        Column("kind", TEXT, "", "what they are, as dentry or sock; empty if that is not known"),
        Column("group", TEXT, "", "what they have in common, as the directory or the state"),
        Column("cache", TEXT, "", "slab cache"),
        _OBJECTS, _BYTES,
        Column("holders", TEXTS, "", "who holds some of them, of the largest groups"),
    ),
    command="census", json_list="groups",
)  # fmt: skip
