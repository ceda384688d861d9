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


class Symbol(NamedTuple):
    """A function of the kernel or of a module ("" is the kernel itself), and an offset into it."""

    name: str
    offset: int
    module: str


class Kallsyms:
    """All functions the kernel names, sorted by address; reloaded when the set of modules changes."""

    def __init__(self) -> None:
        self._modules = b""
        self._addresses: list[int] = []
        self._names: list[tuple[str, str]] = []
        self._data: dict[str, int] = {}
        self.reload()

    @property
    def hidden(self) -> bool:
        """True where the kernel shows zeros instead of addresses (kptr_restrict)."""
        return not self._addresses

    def refresh(self) -> bool:
        """Reload if a module came or went since the last load; returns whether it did."""
        if _read(MODULES) == self._modules:
            return False
        self.reload()
        return True

    def reload(self) -> None:
        """Read /proc/kallsyms anew."""
        self._modules = _read(MODULES)
        entries: list[tuple[int, str, str]] = []
        for line in _read(KALLSYMS).decode(errors="replace").splitlines():
            address, kind, name, *module = line.split()
            if kind in _TEXT:
                entries.append((int(address, 16), name, module[0].strip("[]") if module else ""))
            elif name in ("slab_caches",):  # data: named only with CONFIG_KALLSYMS_ALL
                self._data[name] = int(address, 16)
        entries = sorted(entry for entry in entries if entry[0])
        self._addresses = [entry[0] for entry in entries]
        self._names = [entry[1:] for entry in entries]

    def resolve(self, address: int) -> Symbol | None:
        """The function that the return address `address` belongs to, or None if it is below every symbol.

        The call lies before it: a call that ends a function returns, on paper, into the next one.
        """
        index = bisect.bisect_right(self._addresses, address - 1) - 1
        if index < 0:
            return None
        name, module = self._names[index]
        return Symbol(name, address - self._addresses[index], module)

    def address(self, name: str) -> int:
        """Address of a function (its first), or of slab_caches; 0 if it is not there."""
        if name in self._data:
            return self._data[name]
        return next((a for a, (n, _) in zip(self._addresses, self._names, strict=True) if n == name), 0)


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
