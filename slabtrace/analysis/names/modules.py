# SPDX-License-Identifier: Apache-2.0
"""The kernel and its modules as they were recorded: modules.arrow, and the manifest of older traces.

A module that was unloaded and loaded again has a row for each time.  Names and versions come from the
traced machine: escape them before they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from slabtrace.trace.manifest import Manifest

_TEXTS, _NUMBERS = ("name", "build_id", "version", "srcversion", "taint"), ("begin", "size", "since_ns")


@dataclass(frozen=True)
class Module:
    """A module, or the kernel itself (name "").

    `begin`, `size`: of its memory; of the kernel from _stext on; 0 where not known.  `sections`: address of
    each section with code, empty for the kernel.
    """

    name: str
    build_id: str = ""
    begin: int = 0
    size: int = 0
    version: str = ""
    srcversion: str = ""
    taint: str = ""
    since_ns: int = 0
    sections: dict[str, int] = field(default_factory=dict)

    def has(self, address: int) -> bool:
        """Whether the address is in its memory, as far as that is known."""
        return self.begin <= address < self.begin + self.size


class Modules:
    """The rows of modules.arrow, in order of time; iterating yields each Module."""

    def __init__(self, rows: Iterable[Module]) -> None:
        self._rows: dict[str, list[Module]] = {}
        for row in rows:
            self._rows.setdefault(row.name, []).append(row)

    def __iter__(self) -> Iterator[Module]:
        return (row for rows in self._rows.values() for row in rows)

    def at(self, name: str, address: int) -> Module | None:
        """The module called `name` that had `address`, the last if several did; else the last so called."""
        rows = self._rows.get(name, [])
        there = [row for row in rows if row.has(address)] or rows
        return there[-1] if there else None


def load_modules(table: pa.Table, manifest: Manifest) -> Modules:
    """The modules of a trace: `table` is its modules.arrow.

    A trace older than 2.2 has no such table; its manifest has the kernel's build id and _stext, unless it is
    redacted.
    """
    host = manifest.host
    if not len(table):
        return Modules([Module("", host.build_id, host.stext, since_ns=manifest.started_ns)])
    return Modules(map(_module, table.to_pylist()))


def _module(row: dict[str, Any]) -> Module:
    """A row of modules.arrow; a null of a damaged one reads as empty."""
    names, addresses = row["sections"] or [], row["section_addresses"] or []
    plain: dict[str, Any] = {name: row[name] or "" for name in _TEXTS}
    plain |= {name: row[name] or 0 for name in _NUMBERS}
    return Module(**plain, sections=dict(zip(names, addresses, strict=False)))
