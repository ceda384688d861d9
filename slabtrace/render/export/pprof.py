# SPDX-License-Identifier: Apache-2.0
"""pprof's profile (https://github.com/google/pprof/blob/main/proto/profile.proto), gzipped.

Its sample types have the names of Go's heap profiles, which pprof knows how to show: alloc_objects,
alloc_space, inuse_objects, inuse_space (the default).  Each sample has its slab cache as a label:
`go tool pprof -tagfocus cache=dentry`.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from slabtrace.render.export.protobuf import field, message, packed
from slabtrace.render.terminal.stack_tree import without_offset
from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd

# (measure, unit, column of stack_totals)
MEASURES = (
    ("alloc_objects", "count", "allocated_objects"),
    ("alloc_space", "bytes", "allocated_bytes"),
    ("inuse_objects", "count", "outstanding_objects"),
    ("inuse_space", "bytes", "outstanding_bytes"),
)
_KERNEL = 1  # id of the one mapping; without one pprof looks for binaries to symbolise from


class _Tables:
    """Strings, functions and locations, numbered in the order of their first use."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {"": 0}
        self._functions: dict[str, int] = {}
        self._locations: dict[tuple[int, str], int] = {}

    def string(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def location(self, address: int, symbol: str) -> int:
        """The id of a frame, counted from 1."""
        return self._locations.setdefault((address, symbol), len(self._locations) + 1)

    def messages(self) -> bytes:
        """Locations, functions, and at the end the strings that all of them refer to."""
        parts = []
        for (address, symbol), number in self._locations.items():
            known = self._functions.setdefault(without_offset(symbol), len(self._functions) + 1)
            parts.append(field(4, message((1, number), (2, _KERNEL), (3, address), (4, message((1, known))))))
        for name, number in self._functions.items():
            text = self.string(name)
            parts.append(field(5, message((1, number), (2, text), (3, text))))
        return b"".join([*parts, *(field(6, text) for text in self.strings)])


def write_pprof(out: BinaryIO, totals: pd.DataFrame, realtime_ns: int, length_ns: int, comment: str) -> None:
    """Write `totals` (analysis' stack_totals()).

    `realtime_ns`: when the recording began, ns since 1970; `length_ns`: how long it lasted;
    `comment`: shown by `go tool pprof -comments`.
    """
    tables = _Tables()
    types = [message((1, tables.string(name)), (2, tables.string(unit))) for name, unit, _ in MEASURES]
    key = tables.string("cache")
    columns = [totals[column].tolist() for _, _, column in MEASURES]
    rows = zip(totals["stack"], totals["addresses"], totals["cache"], zip(*columns, strict=True), strict=True)
    samples = [
        message(
            (1, packed(tables.location(*frame) for frame in zip(addresses, stack, strict=True))),
            (2, packed(values)),
            (3, message((1, key), (2, tables.string(escape(cache))))),
        )
        for stack, addresses, cache, values in rows
    ]
    out.write(gzip.compress(_profile(tables, types, samples, realtime_ns, length_ns, comment), mtime=0))


def _profile(
    tables: _Tables,
    types: Sequence[bytes],
    samples: Sequence[bytes],
    realtime_ns: int,
    length_ns: int,
    comment: str,
) -> bytes:
    """The message Profile."""
    mapping = message((1, _KERNEL), (5, tables.string("[kernel.kallsyms]")), (7, 1))
    ending = message(
        (9, realtime_ns),
        (10, length_ns),
        (13, packed([tables.string(escape(comment))])),
        (14, tables.string(MEASURES[-1][0])),
    )
    repeated = [
        field(tag, part) for tag, parts in ((1, types), (2, samples), (3, [mapping])) for part in parts
    ]
    return b"".join([*repeated, tables.messages(), ending])
