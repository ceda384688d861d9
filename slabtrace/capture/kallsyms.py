# SPDX-License-Identifier: Apache-2.0
"""Names of kernel addresses, modules included, from /proc/kallsyms."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

KALLSYMS = Path("/proc/kallsyms")
MODULES = Path("/proc/modules")
_TEXT = "tTwW"
LONGEST = 1 << 16  # bytes of a function, where nothing says how long the last one is


class Symbol(NamedTuple):
    """A function of the kernel or of a module ("" is the kernel itself), and an offset into it."""

    name: str
    offset: int
    module: str


Entry = tuple[int, str, str]  # address, name, module


class Kallsyms:
    """All functions the kernel names, sorted by address; reloaded when the set of modules changes.

    Functions of a module that went stay known until another takes their place: what it allocated lives
    on, and its addresses may be met late.  One that came and went before it was noticed stays unknown.
    """

    def __init__(self) -> None:
        self._modules: list[bytes] = []
        self._ends: dict[str, int] = {}  # behind the last function of a module
        self._entries: list[Entry] = []
        self._addresses: list[int] = []
        self._data: dict[str, int] = {}
        self.reload()

    @property
    def hidden(self) -> bool:
        """True where the kernel shows zeros instead of addresses (kptr_restrict)."""
        return not self._addresses

    def refresh(self) -> bool:
        """Reload if a module came or went since the last load; returns whether it did."""
        if _modules() == self._modules:
            return False
        self.reload()
        return True

    def reload(self) -> None:
        """Read /proc/kallsyms anew."""
        self._modules = _modules()
        entries: list[Entry] = []
        for line in _read(KALLSYMS).decode(errors="replace").splitlines():
            address, kind, name, *module = line.split()
            if kind in _TEXT:
                entries.append((int(address, 16), name, module[0].strip("[]") if module else ""))
            elif name in ("slab_caches",):  # data: named only with CONFIG_KALLSYMS_ALL
                self._data[name] = int(address, 16)
        entries = [entry for entry in entries if entry[0]]
        self._ends |= _ends(entries, self._modules)
        self._entries = sorted(entries + _gone(self._entries, entries))
        self._addresses = [entry[0] for entry in self._entries]

    def resolve(self, address: int) -> Symbol | None:
        """The function that the return address `address` belongs to, or None if no known one has it.

        The call lies before it: a call that ends a function returns, on paper, into the next one.
        """
        index = bisect.bisect_right(self._addresses, address - 1) - 1
        if index < 0:
            return None
        begin, name, module = self._entries[index]
        return Symbol(name, address - begin, module) if address <= self._ends[module] else None

    def address(self, name: str) -> int:
        """Address of a function (its first), or of slab_caches; 0 if it is not there."""
        if name in self._data:
            return self._data[name]
        return next((a for a, n, _ in self._entries if n == name), 0)


def _gone(before: list[Entry], now: list[Entry]) -> list[Entry]:
    """Functions of modules that are no more, but for those in whose place another module is."""
    present: dict[str, list[int]] = {}
    for address, _, module in now:
        span = present.setdefault(module, [address, address])
        span[0], span[1] = min(span[0], address), max(span[1], address)
    taken = [span for module, span in present.items() if module]
    return [
        entry
        for entry in before
        if entry[2] not in present and not any(first <= entry[0] <= last for first, last in taken)
    ]


def _ends(entries: list[Entry], modules: list[bytes]) -> dict[str, int]:
    """Where each module ends, as /proc/modules says; the kernel, and BPF, soon after their last symbol."""
    ends = {module: address + LONGEST for address, _, module in sorted(entries)}
    for line in modules:
        name, size, *address = line.decode(errors="replace").split()
        if address and int(address[0], 16):
            ends[name] = int(address[0], 16) + int(size)
    return ends


def _modules() -> list[bytes]:
    """Name, size and address of every module, without what else changes (users, state)."""
    lines = (line.split() for line in _read(MODULES).splitlines())
    return [b" ".join([*words[:2], *words[5:6]]) for words in lines]


def function_spans(names: Collection[str]) -> dict[str, range]:
    """Where these functions of the kernel itself lie; those that kallsyms hides or lacks are left out.

    A function ends where the next symbol begins, so its padding is counted in.
    """
    text = _read(KALLSYMS)
    every = sorted({int(address, 16) for address in re.findall(rb"^([0-9a-f]+) [tTwW] ", text, re.M)})
    alternatives = "|".join(map(re.escape, sorted(filter(None, names))))
    found = re.findall(rf"^([0-9a-f]+) [tTwW] ({alternatives})$".encode(), text, re.M)
    spans = {}
    for digits, name in found:
        begin = int(digits, 16)
        after = bisect.bisect_right(every, begin)
        if begin and after < len(every):
            spans[name.decode()] = range(begin, every[after])
    return spans


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
