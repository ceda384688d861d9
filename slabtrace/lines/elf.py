# SPDX-License-Identifier: Apache-2.0
"""What has to be known of an ELF file before a symbolizer reads it: build id, sections, a few symbols.

The file may be a stranger's.  Nothing is read outside of it, and one that contradicts itself reads as empty.
Only 64-bit files are read, of either byte order.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.elf_notes import build_id

LINES = (".debug_line", ".zdebug_line")
RELOCATABLE = 1  # e_type of a module: its sections have no addresses yet
_SYMTAB, _NOTE, _NOBITS = 2, 7, 8  # sh_type
_EXECINSTR = 4  # bit of sh_flags
_FIRST_RESERVED = 0xFF00  # st_shndx: undefined, absolute and the like
_MOST_PLACES = 100_000  # in a string table, where one name may stand
_HEADER, _SECTION = "HHIQQQIHHHHHH", "IIQQQQIIQQ"


class Section(NamedTuple):
    """A section header.  `address`: where it is linked to; `link`: number of the section it belongs with."""

    name: str
    kind: int
    code: bool
    address: int
    offset: int
    size: int
    link: int

    @property
    def stored(self) -> bool:
        """Whether its content is in this file; of a .debug file, code is not."""
        return self.kind != _NOBITS


class Symbol(NamedTuple):
    """A symbol: the name of its section, and its value: an address, or in a module an offset in it."""

    section: str
    value: int


class Elf:
    """The ELF file at `path`.  Raises ValueError if it is none, OSError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = _mapped(path)
        self._known: dict[str, list[Symbol]] = {}
        try:
            self._read_header()
        except (struct.error, OverflowError):
            raise ValueError("the file is too short") from None

    def _read_header(self) -> None:
        ident = self._data[:16]
        if ident[:4] != b"\x7fELF" or ident[4] != 2 or ident[5] not in (1, 2):
            raise ValueError("not a 64-bit ELF file")
        self._order = "<" if ident[5] == 1 else ">"
        fields = struct.unpack_from(self._order + _HEADER, self._data, 16)
        self.kind: int = fields[0]
        offset, (size, count, names) = fields[5], fields[10:13]
        if size != struct.calcsize("<" + _SECTION):
            raise ValueError("it has no section headers")
        raw = [
            struct.unpack_from(self._order + _SECTION, self._data, offset + i * size) for i in range(count)
        ]
        strings = self._slice(raw[names][4], raw[names][5]) if names < count else b""
        self.sections = [_section(each, strings) for each in raw]
        self.build_id = next(filter(None, map(self._build_id, self.sections)), "")

    @property
    def relocatable(self) -> bool:
        """Whether it is a module, whose sections get their addresses when it is loaded."""
        return self.kind == RELOCATABLE

    @property
    def has_lines(self) -> bool:
        """Whether it has line numbers, compressed or not."""
        return any(each.stored and each.name in LINES for each in self.sections)

    def has_code_at(self, address: int, section: str = "") -> bool:
        """Whether a section with code has the address.

        `section`: of a module, the name of the one that `address` is an offset in.
        """
        wanted = (each for each in self.sections if each.code and section in ("", each.name))
        return any(0 <= address - (0 if section else each.address) < each.size for each in wanted)

    def symbols(self, name: str) -> list[Symbol]:
        """All symbols called `name` that are in a section; several static functions may be."""
        if name not in self._known:
            self._known[name] = [
                self._symbol(row)
                for entries, strings in self._tables
                for row in entries[np.isin(entries["name"], _places(strings, name))]
                if self._in_section(row)
            ]
        return self._known[name]

    @cached_property
    def _tables(self) -> list[tuple[NDArray[np.void], bytes]]:
        """Entries and names of each symbol table; a file has one, or none."""
        tables = (each for each in self.sections if each.kind == _SYMTAB and each.stored)
        return [(self._entries(table), self._strings(table)) for table in tables]

    def _entries(self, table: Section) -> NDArray[np.void]:
        o = self._order
        fields = [("name", f"{o}u4"), ("info", "u1"), ("other", "u1")]
        dtype = np.dtype([*fields, ("shndx", f"{o}u2"), ("value", f"{o}u8"), ("size", f"{o}u8")])
        content = self._slice(table.offset, table.size)
        return np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)

    def _strings(self, table: Section) -> bytes:
        if table.link >= len(self.sections):
            return b""
        strings = self.sections[table.link]
        return self._slice(strings.offset, strings.size) if strings.stored else b""

    def _in_section(self, row: Any) -> bool:
        return 0 < int(row["shndx"]) < min(len(self.sections), _FIRST_RESERVED)

    def _symbol(self, row: Any) -> Symbol:
        return Symbol(self.sections[int(row["shndx"])].name, int(row["value"]))

    def _build_id(self, section: Section) -> str:
        if section.kind != _NOTE:
            return ""
        return build_id(self._slice(section.offset, section.size), self._order)

    def _slice(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def read_elf(path: Path) -> Elf | None:
    """The ELF file at `path`; None if it is none, or cannot be read."""
    try:
        return Elf(path)
    except (OSError, ValueError):
        return None


def _mapped(path: Path) -> mmap.mmap:
    """The content of a plain file.  A FIFO is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a plain file")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _section(fields: tuple[int, ...], strings: bytes) -> Section:
    name_at, kind, flags, address, offset, size, link, *_ = fields
    name = strings[name_at : max(strings.find(b"\0", name_at), 0)].decode(errors="replace")
    return Section(name, kind, bool(flags & _EXECINSTR), address, offset, size, link)


def _places(strings: bytes, name: str) -> list[int]:
    """Where `name` stands in a string table: also at the end of a longer name, which linkers share."""
    text = name.encode(errors="replace") + b"\0"
    places: list[int] = []
    at = strings.find(text)
    while at >= 0 and len(places) < _MOST_PLACES:
        places.append(at)
        at = strings.find(text, at + 1)
    return places
