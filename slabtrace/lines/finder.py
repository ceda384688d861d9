# SPDX-License-Identifier: Apache-2.0
"""From the symbols of a trace to source lines: which module, which debug info, which place in it.

A kernel is loaded as a whole, so an address is as far from _stext as it is in vmlinux, wherever KASLR put
it.  A module's sections are loaded apart from each other: an address is looked up as an offset in the section
it is in.  Where the sections' addresses were not recorded, the function is looked up in the file's symbol
table, if there is just one of that name.

Example: probe+0x10 [leaky] at 0xffffffffc0a01050, the section .text of leaky at 0xffffffffc0a01000.  It is a
return address, so the call is at the offset 0x4f of .text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slabtrace.analysis.names.frames import module_of
from slabtrace.analysis.names.modules import Module, Modules
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.lines.debug_files import DebugFiles, Found
from slabtrace.lines.elf import Elf
from slabtrace.lines.shown import Lines
from slabtrace.lines.symbolizers import Location, Locations, check_installed, look_up

LANDMARKS = {
    "kernel_init": "init/main.c",
    "start_kernel": "init/main.c",
}  # whose file shows where the tree is

_SYMBOL = re.compile(r"(?P<function>.+)\+0x(?P<offset>[0-9a-f]{1,16})(?: \[[^\]]*\])?")
_SOURCES = re.compile(r"^/(?:.*/)?linux-[^/]+/")  # linux-6.12.1, linux-headers-6.12.1-common


class Place(NamedTuple):
    """A place in an ELF file: an offset in the section, or, of a kernel, an address (section "")."""

    elf: Elf
    section: str
    offset: int


class MissingError(Exception):
    """A symbol has no line; the text says why."""


class LineFinder:
    """Finds the lines of a trace's symbols.

    `addresses`: of each symbol; `modules`: of the trace.  Raises DebugInfoError where no symbolizer is
    installed.
    """

    def __init__(self, addresses: Mapping[str, set[int]], modules: Modules, files: DebugFiles) -> None:
        check_installed()
        self._addresses, self._modules, self._files = addresses, modules, files
        self._elves: dict[tuple[str, str], Found] = {}

    @classmethod
    def for_trace(
        cls, recorded: Recorded, places: Sequence[str] = (), fetching: Callable[[str], None] | None = None
    ) -> LineFinder:
        """The finder for a trace.

        `places`: files and folders with debug info, and URLs of debuginfod servers; the usual folders are
        searched besides.  `fetching`: called with the URL of what a server is asked for.  Raises
        DebugInfoError where no symbolizer is installed, where a place does not exist, and for a file of
        another build.
        """
        files = DebugFiles(places, recorded.modules, recorded.manifest.host.release, fetching)
        return cls(recorded.symbols.addresses(), recorded.modules, files)

    def lines(self, symbols: Iterable[str]) -> Lines:
        """The lines of `symbols`, each `function+0x1a [module]`.

        Raises DebugInfoError where a server or the symbolizer fails.
        """
        places, missing = self._places(set(symbols) & self._addresses.keys())
        located = _located(place for each in places.values() for place in each)
        found: dict[str, Locations] = {}
        for symbol, each in places.items():
            found[symbol], *others = (located[place] for place in each)
            if any(other != found[symbol] for other in others):
                missing[symbol] = whose(symbol), "several functions have the same name"
            elif not found[symbol]:
                missing[symbol] = whose(symbol), "the debug info has no line there"
        return Lines({symbol: found[symbol] for symbol in found if symbol not in missing}, missing)

    def _places(self, symbols: Iterable[str]) -> tuple[dict[str, list[Place]], dict[str, tuple[str, str]]]:
        """The places of each symbol, one for each address it had; why there are none, of the others."""
        places: dict[str, list[Place]] = {}
        missing: dict[str, tuple[str, str]] = {}
        for symbol in sorted(symbols):
            try:
                places[symbol] = [self._place(symbol, address) for address in sorted(self._addresses[symbol])]
            except MissingError as reason:
                missing[symbol] = whose(symbol), str(reason)
        return places, missing

    def _place(self, symbol: str, address: int) -> Place:
        """Where the call before the return address is.  Raises MissingError."""
        module = self._modules.at(module_of(symbol), address)
        if module is None:
            raise MissingError("its build id was not recorded")
        elf, reason = self._debug_info(module)
        if elf is None:
            raise MissingError(reason)
        known = _in_module if elf.relocatable else _in_kernel
        found = known(elf, module, address - 1) or _by_symbol(elf, symbol)
        if found is None:
            raise MissingError("its place in the debug info is not known")
        return found

    def _debug_info(self, module: Module) -> Found:
        key = module.name, module.build_id
        if key not in self._elves:
            self._elves[key] = self._files.find(module)
        return self._elves[key]


def _located(places: Iterable[Place]) -> dict[Place, Locations]:
    """The locations of places, files of the kernel's sources as paths in them.

    There is one process for each ELF file and section.
    """
    asked = set(places)
    landmarks = _landmarks(next((each.elf for each in asked if not each.section), None))
    parts: dict[tuple[Path, str], list[Place]] = {}
    for place in sorted(asked | landmarks.keys(), key=lambda each: each.offset):
        parts.setdefault((place.elf.path, place.section), []).append(place)
    found: dict[Place, Locations] = {}
    for (path, section), each in parts.items():
        found |= zip(each, look_up(path, section, [place.offset for place in each]), strict=True)
    tree = _source_tree(landmarks, found)
    return {place: [_shortened(each, tree) for each in found[place]] for place in asked}


def whose(symbol: str) -> str:
    """Whose a symbol is, as text shows it."""
    return module_of(symbol) or "the kernel"


def _in_kernel(elf: Elf, module: Module, address: int) -> Place | None:
    stext = elf.symbols("_stext")
    if not (module.begin and stext):
        return None
    linked = address - module.begin + stext[0].value
    return Place(elf, "", linked) if elf.has_code_at(linked) else None


def _in_module(elf: Elf, module: Module, address: int) -> Place | None:
    for name, begin in module.sections.items():
        if elf.has_code_at(address - begin, name):
            return Place(elf, name, address - begin)
    return None


def _by_symbol(elf: Elf, symbol: str) -> Place | None:
    """The place by the function's name and the offset in it, if just one function is called so."""
    match = _SYMBOL.fullmatch(symbol)
    found = set(elf.symbols(match["function"])) if match else set()
    if match is None or len(found) != 1:
        return None
    (one,) = found
    section, at = one.section if elf.relocatable else "", one.value + int(match["offset"], 16) - 1
    return Place(elf, section, at) if elf.has_code_at(at, section) else None


def _landmarks(kernel: Elf | None) -> dict[Place, str]:
    """Places in the kernel whose file is known, and that file."""
    if kernel is None:
        return {}
    found = ((symbol, file) for name, file in LANDMARKS.items() for symbol in kernel.symbols(name)[:1])
    return {Place(kernel, "", symbol.value): file for symbol, file in found}


def _source_tree(landmarks: Mapping[Place, str], found: Mapping[Place, Locations]) -> str:
    """The folder that the kernel was built from, as its debug info names it; "" if that is not known."""
    for place, file in landmarks.items():
        if found[place] and (path := found[place][-1].file).endswith(f"/{file}"):
            return path.removesuffix(file)
    return ""


def _shortened(location: Location, tree: str) -> Location:
    """The location with its file as a path in the kernel's sources or headers, if it is in them."""
    return location._replace(file=_SOURCES.sub("", location.file.removeprefix(tree)))
