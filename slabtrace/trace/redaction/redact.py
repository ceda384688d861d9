# SPDX-License-Identifier: Apache-2.0
"""A copy of a trace that can be shown to strangers: it gives the same answers, and reveals no addresses.

There are two passes, a batch at a time: the first collects what has to be replaced, the second replaces it.
What identifies the machine, its user and the workload is replaced (made_up.py) or left out.  TREATMENT says
what happens to each column; a column that is missing there cannot be copied.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.files.files import files_of
from slabtrace.trace.files.place import Place
from slabtrace.trace.files.segments import Segment
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import column, plain
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.sample import in_sample
from slabtrace.trace.manifest import read
from slabtrace.trace.redaction.made_up import (
    CacheKeys,
    CacheNames,
    Memory,
    Names,
    Paths,
    Pids,
    Ranks,
    StackIds,
    Text,
)
from slabtrace.trace.redaction.manifest import pids_of, redacted_manifest
from slabtrace.trace.writing.writer import TableWriter

KEPT, MEMORY, TEXT, PID, STACK, CACHE, COMM, MARK, EMPTIED, INODE, PROGRAM, COMMAND, PATH, KEY = (
    "kept", "memory", "text", "pid", "stack", "cache", "comm", "mark", "emptied", "inode", "program",
    "command", "path", "key",
)  # fmt: skip
EVENTS = "events"
TREATMENT: dict[str, dict[str, str]] = {
    EVENTS: {"ptr": MEMORY, "tid": PID, **dict.fromkeys(("ts_ns", "ts_high", "ts_low", "site", "cpu"), KEPT)},
    "sites": {
        "call_site": TEXT, "cache": KEY, "stack_id": STACK,
        **dict.fromkeys(("site", "kind", "flags", "bytes_req", "bytes_alloc", "gfp_flags", "node"), KEPT),
    },
    "caches": {
        "cache": MEMORY, "name": CACHE, "aliases": CACHE,
        **dict.fromkeys(("object_size", "size", "slab_flags", "order"), KEPT),
        **dict.fromkeys(("objects_per_slab", "reclaimable", "first_seen_ns"), KEPT),
    },
    "stacks": {"stack_id": STACK, "frames": TEXT},
    "symbols": {"address": TEXT, **dict.fromkeys(("name", "offset", "module", "since_ns"), KEPT)},
    "modules": {
        **dict.fromkeys(("name", "taint", "since_ns"), KEPT),
        **dict.fromkeys(("version", "srcversion", "build_id"), EMPTIED),
        **dict.fromkeys(("begin", "size", "sections", "section_addresses"), EMPTIED),
    },
    "tasks": {"ts_ns": KEPT, "tid": PID, "tgid": PID, "comm": COMM},
    "processes": {
        "tgid": PID, "parent": PID, "pid_ns": INODE, "net_ns": INODE, "cgroup": INODE,
        "exe": PROGRAM, "command": COMMAND, **dict.fromkeys(("ts_ns", "event", "hierarchy"), KEPT),
    },
    "cgroups": {
        "cgroup": INODE, "path": PATH, **dict.fromkeys(("ts_ns", "event", "hierarchy", "controllers"), KEPT)
    },
    "losses": dict.fromkeys(("begin_ns", "end_ns", "cpu", "kind", "program", "count"), KEPT),
    "slabinfo": {
        "name": CACHE,
        **dict.fromkeys(("ts_ns", "active_objs", "num_objs", "objsize"), KEPT),
        **dict.fromkeys(("objperslab", "pagesperslab", "num_slabs"), KEPT),
    },
    "slabs": {
        "slab": MEMORY, "cache": MEMORY, **dict.fromkeys(("ts_ns", "stride", "objects", "free"), KEPT)
    },
    "pins": {"ts_ns": KEPT, "ptr": MEMORY, "pinned": KEPT},
    "charged": {"ts_ns": KEPT, "ptr": MEMORY, "hierarchy": KEPT, "cgroup": INODE},
    "objects": {
        "ptr": MEMORY, "holder": MEMORY, "description": EMPTIED, "holders": EMPTIED,
        **dict.fromkeys(("ts_ns", "in_use", "kind", "references", "held"), KEPT),
    },
    "counted": dict.fromkeys(("begin_ns", "end_ns", "site", "lifetime_bin", "objects", "moved"), KEPT),
    "marks": {"ts_ns": KEPT, "text": MARK},
    "memory": dict.fromkeys(("ts_ns", "counter", "value"), KEPT),
    "missed": {"site": KEPT, "frees": KEPT},
    "uncompleted": {"ptr": MEMORY, "tid": PID, **dict.fromkeys(("ts_high", "ts_low", "site", "cpu"), KEPT)},
    "since": {"begin_ns": KEPT},
    "older": dict.fromkeys(("begin_ns", "end_ns", "site", "frees"), KEPT),
    "lived": dict.fromkeys(("site", "octave", "objects"), KEPT),
    "pairs": dict.fromkeys(("site", "freed_at", "octave", "objects", "lived_ns"), KEPT),
}  # fmt: skip
LARGEST_ORDER = 10  # of a large kmalloc (MAX_PAGE_ORDER)
# `bytes_alloc` of these is no block of memory: per-CPU memory is of all CPUs, vmalloc consists of pages.
NO_BLOCKS = (schema.Kind.PERCPU_ALLOC, schema.Kind.VMALLOC)
MOST_BITS = 40
TORN = b"\xff\xff\xff\xff\x40\0\0\0"  # in an Arrow stream: "a message of 64 bytes follows"


def redact(trace: Path, folder: Path) -> None:
    """Write a redacted copy of `trace` (a folder, or packed) into the empty `folder`.

    Damage stays: after what could be read of it, the copy of a damaged file is not closed, or is torn, too.
    Raises TraceError if `trace` is not a trace, WriteError, OSError.
    """
    copying = _Copying(trace)
    copying.meet()
    (folder / schema.EVENTS_DIR).mkdir(mode=0o700)
    if copying.carries:
        (folder / schema.CARRIED_DIR).mkdir(mode=0o700)
    copying.write(folder)


class _Copying:
    def __init__(self, trace: Path) -> None:
        self._trace, self._files = trace, files_of(trace)
        self._manifest = read(self._files, trace)
        self._names = [name for name in self._files.names() if name.endswith(".arrow") and _table(name)]
        self._memory = Memory(self._block_bits())
        self._keys = CacheKeys(self._memory)
        self._addresses, self._offsets, self._pids = Ranks(), dict[int, int](), Pids()
        self._comms, self._marks, self._caches = Names("task"), Names("mark"), CacheNames()
        self._inodes = Ranks()
        self._named = {PROGRAM: Names("program"), COMMAND: Names("command"), PATH: Paths()}

    def meet(self) -> None:
        """The first pass: collect all values whose order matters."""
        for name in self._names:
            treatment = TREATMENT[_table(name)]
            takers = {MEMORY: self._memory.meet, TEXT: self._addresses.meet, PID: self._pids.meet}
            takers |= {INODE: self._inodes.meet, KEY: self._keys.meet}
            wanted = [each for each, how in treatment.items() if how in takers]
            for batch in self._batches(name, wanted) if wanted else ():
                for each in wanted:
                    takers[treatment[each]](_numbers(batch.column(each)))
        for batch in self._batches("symbols.arrow", ("address", "offset")):
            self._offsets.update(zip(*(plain(each).tolist() for each in batch.columns), strict=True))
        self._pids.meet(pids_of(self._manifest))
        self._makers = self._columns_made()

    def write(self, folder: Path) -> None:
        """The second pass: write every file, and the manifest."""
        place = Place(folder)
        for name in sorted(self._names, key=lambda name: name != "stacks.arrow"):  # numbers them: first
            table = _table(name)
            writer = TableWriter(place, name, self._schema(table))
            segment = Segment(self._files, name, writer.schema)
            for batch in segment.batches(writer.schema.names):
                thinned = self._thinned(batch) if table == EVENTS and self._manifest.thinned else batch
                writer.append(self._redacted(table, thinned, writer.schema))
            writer.close(footer=not segment.damage)
            if segment.damage and not segment.cut:
                _tear(folder / name, keep=writer.rows > 0)
        redacted_manifest(self._manifest, self._pids, self._comms, self._caches).save(place)

    @property
    def carries(self) -> bool:
        """Whether it has tables from earlier parts of a series."""
        return any(name.startswith(f"{schema.CARRIED_DIR}/") for name in self._names)

    def _thinned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """As TraceReader does it: after addresses are replaced, those in the sample cannot be recognised."""
        kept = in_sample(plain(batch.column("ptr")), self._manifest.sampled_one_in)
        return batch.filter(pa.array(kept | np.isin(plain(batch.column("site")), self._page_ends)))

    @cached_property
    def _page_ends(self) -> NDArray[np.uint32]:
        """Sites of the ends of slabs."""
        columns = [plain(c) for b in self._batches("sites.arrow", ("kind", "site")) for c in b.columns]
        kinds, sites = columns[::2], columns[1::2]
        found = [site[kind == schema.Kind.PAGE_END] for kind, site in zip(kinds, sites, strict=True)]
        return np.concatenate([np.zeros(0, np.uint32), *found])

    def _batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The batches of a file, none if it is missing."""
        if name in self._names:
            yield from Segment(self._files, name, self._schema(_table(name))).batches(columns)

    def _schema(self, table: str) -> pa.Schema:
        """The columns of a table in the version of the trace, which is that of its copy."""
        if table == EVENTS:
            return schema.events_of(self._manifest.version[0])
        return (schema.SIDE_TABLES | schema.CARRIED)[table]

    def _redacted(self, table: str, batch: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
        made = [
            self._makers[TREATMENT[table][field.name]](each, field.type)
            for field, each in zip(fields, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(made, schema=fields)

    def _columns_made(self) -> dict[str, Callable[[pa.Array, pa.DataType], pa.Array]]:
        """Functions that make a column, by treatment."""
        text = Text(self._addresses, self._offsets)
        return {
            KEPT: lambda values, kind: values.cast(kind),
            **{how: _maker(each) for how, each in ((MEMORY, self._memory), (TEXT, text), (PID, self._pids))},
            STACK: _maker(StackIds()),
            KEY: _maker(self._keys),
            INODE: _maker(self._inodes),
            **{how: _naming(each) for how, each in ((COMM, self._comms), (MARK, self._marks))},
            **{how: _naming(each) for how, each in self._named.items()},
            CACHE: _naming(self._caches),
            EMPTIED: _emptied,
        }

    def _block_bits(self) -> int:
        """How many low bits of an address are its offset in its slab or large kmalloc."""
        page = max(self._manifest.host.page_size, 1)
        largest = page << LARGEST_ORDER
        for batch in self._batches("sites.arrow", ("kind", "bytes_alloc")):
            kind, size = (plain(each) for each in batch.columns)
            largest = max(largest, int(size[~np.isin(kind, NO_BLOCKS)].max(initial=0)))
        for batch in self._batches("caches.arrow", ("order",)):
            largest = max(largest, page << min(int(plain(batch.column(0)).max()), MOST_BITS))
        return min((largest - 1).bit_length(), MOST_BITS)


def _tear(path: Path, keep: bool) -> None:
    """Leave the file as a broken write does: with a message begun, or (without `keep`) empty."""
    if keep:
        with path.open("ab") as file:
            file.write(TORN)
    else:
        os.truncate(path, 0)


def _table(name: str) -> str:
    """The table in a file, by its name in the trace; empty if the format has no such file."""
    if name.startswith(f"{schema.EVENTS_DIR}/"):
        return EVENTS
    folder, _, file = name.rpartition("/")
    table = file.removesuffix(".arrow")
    known = {"": schema.SIDE_TABLES, schema.CARRIED_DIR: schema.CARRIED}.get(folder, {})
    return table if table in known else ""


def _numbers(values: pa.Array) -> UInt64:
    """The numbers of a column, or of its lists."""
    flat = values.flatten() if pa.types.is_list(values.type) else values
    return plain(flat).astype(np.uint64)


def _maker(made_up: Any) -> Callable[[pa.Array, pa.DataType], pa.Array]:
    """A function that makes a column of numbers, or of lists of numbers."""

    def made(values: pa.Array, kind: pa.DataType) -> pa.Array:
        if not pa.types.is_list(kind):
            numbers = plain(values)
            wide = numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.uint64)
            return column(made_up.of(wide), kind)
        offsets = plain(values.offsets)
        items = column(made_up.of(_numbers(values)), kind.value_type)
        from_zero = pa.py_buffer(offsets - offsets[0])
        return pa.Array.from_buffers(kind, len(values), [None, from_zero], children=[items])

    return made


def _emptied(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column of the same length that says nothing: 0, "" or []."""
    nothing: Any = [] if pa.types.is_list(kind) else "" if pa.types.is_string(kind) else 0
    return pa.array([nothing] * len(values), kind)


def _naming(names: Any) -> Callable[[pa.Array, pa.DataType], pa.Array]:
    """A function that makes a column of strings, or of lists of strings."""

    def made(values: pa.Array, kind: pa.DataType) -> pa.Array:
        texts = values.to_pylist()
        if pa.types.is_list(kind):
            return column([[names.of(each) for each in several] for several in texts], kind)
        return column([names.of(each) for each in texts], kind)

    return made
