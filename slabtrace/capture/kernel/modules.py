# SPDX-License-Identifier: Apache-2.0
"""What is known of the running kernel and of its loaded modules: rows of modules.arrow.

With the build id a reader finds the debug information of exactly this build, and with the addresses of the
sections the place of an address in it.  Files are read from /sys/module, each up to MOST_BYTES.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from slabtrace import elf_notes

NOTES = Path("/sys/kernel/notes")
MODULES = Path("/sys/module")
MOST_BYTES = 4096
MOST_SECTIONS = 64  # with code, of one module; usually there are two to six


class Loaded(NamedTuple):
    """A module ("": the kernel itself) at the memory from `begin` on, `size` bytes; 0 where hidden."""

    name: str
    begin: int
    size: int


class ModuleRow(NamedTuple):
    """A row of schema.MODULES."""

    name: str
    version: str
    srcversion: str
    build_id: str
    taint: str
    begin: int
    size: int
    sections: list[str]
    section_addresses: list[int]
    since_ns: int


def build_id(path: Path = NOTES) -> str:
    """The build id in a file of ELF notes, in hex; "" if it has none.  By default the running kernel's."""
    return elf_notes.build_id(_bytes(path))


def describe(loaded: Loaded, now_ns: int, modules: Path = MODULES) -> ModuleRow:
    """What /sys says of a module, or of the kernel itself; empty where it says nothing, or is gone."""
    if not loaded.name:
        return ModuleRow("", "", "", build_id(), "", loaded.begin, loaded.size, [], [], now_ns)
    folder = modules / loaded.name
    version, srcversion, taint = (_text(folder / each) for each in ("version", "srcversion", "taint"))
    notes = folder / "notes" / ".note.gnu.build-id"
    sections = dict(islice(_sections(folder / "sections"), MOST_SECTIONS))
    return ModuleRow(
        loaded.name, version, srcversion, build_id(notes), taint, loaded.begin, loaded.size,
        list(sections), list(sections.values()), now_ns,
    )  # fmt: skip


def columns(rows: Iterable[ModuleRow]) -> dict[str, list[object]]:
    """Rows as the columns of modules.arrow."""
    table = list(rows)
    return {name: [getattr(row, name) for row in table] for name in ModuleRow._fields}


def _sections(folder: Path) -> Iterable[tuple[str, int]]:
    """Name and address of the sections with code; without those whose address the kernel hides."""
    try:
        names = sorted(path.name for path in folder.iterdir() if "text" in path.name)
    except OSError:
        return
    for name in names:
        address = _number(_text(folder / name))
        if address:
            yield name, address


def _number(text: str) -> int:
    try:
        return int(text, 16) & ((1 << 64) - 1)
    except ValueError:
        return 0


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace").strip()


def _bytes(path: Path) -> bytes:
    """The content of a file; empty where it is missing or hidden, or its module was unloaded meanwhile."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return b""
