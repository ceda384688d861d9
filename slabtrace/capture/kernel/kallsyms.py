# SPDX-License-Identifier: Apache-2.0
"""Names of kernel addresses, modules included, from /proc/kallsyms.

The file has 200,000 lines and more, 10 MB.  It is parsed as one array of bytes, because each line has its
address in a fixed place.  A name is cut out only when it is needed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.kernel.modules import Loaded

KALLSYMS = Path("/proc/kallsyms")
MODULES = Path("/proc/modules")
LONGEST = 1 << 16  # bytes assumed for the last function of a text, whose length kallsyms does not have
LONGEST_BPF = 1 << 12  # the same for each BPF program: a module may begin right after it
_BPF = "bpf"  # the module that kallsyms gives for BPF programs
_DIGITS, _KIND, _NAME = 16, 17, 19  # "ffffffff81000000 T _stext": length of the address, places of the others
_TEXT = np.frombuffer(b"tTwW", np.uint8)
# Variables whose addresses are wanted.  Without CONFIG_KALLSYMS_ALL only those that are exported are listed.
VARIABLES = ("slab_caches", "vmemmap_base", "page_offset_base")
_DATA = re.compile(rf"^([0-9a-f]+) \S ({'|'.join(VARIABLES)})$".encode(), re.M)


class Symbol(NamedTuple):
    """A function of a module ("": the kernel itself), and an offset into it in bytes."""

    name: str
    offset: int
    module: str


class _Functions:
    """The functions in one text of kallsyms, sorted by address, without those whose address is hidden."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        raw = np.frombuffer(text, np.uint8)
        stop = np.flatnonzero(raw == ord("\n"))
        start = np.append(0, stop[:-1] + 1)[: len(stop)]
        whole = stop - start > _NAME
        start, stop = start[whole], stop[whole]
        start, stop = (each[np.isin(raw[start + _KIND], _TEXT)] for each in (start, stop))
        address = _hexadecimal(raw[start[:, None] + np.arange(_DIGITS)])
        order = np.argsort(address, kind="stable")
        order = order[address[order] > 0]
        self.address, self._start, self._stop = address[order], start[order] + _NAME, stop[order]

    def at(self, address: int) -> Symbol | None:
        """The last function that begins at or before the address, however far away; None if there is none."""
        index = int(np.searchsorted(self.address, np.uint64(address), side="right")) - 1
        if index < 0:
            return None
        name, module = self._words(index)
        return Symbol(name, address - int(self.address[index]), module)

    def find(self, name: str) -> int:
        """The address of the first function of the kernel itself with that name; 0 if there is none."""
        found = re.search(rb"^([0-9a-f]{16}) [tTwW] %s$" % re.escape(name.encode()), self.text, re.M)
        return int(found[1], 16) if found else 0

    def within(self, span: range) -> _Functions:
        """The functions that begin in a span of addresses, with a copy of their lines only."""
        ends = np.array([span.start, min(span.stop, (1 << 64) - 1)], np.uint64)
        first, last = np.searchsorted(self.address, ends).tolist()
        lines = zip(self._start[first:last].tolist(), self._stop[first:last].tolist(), strict=True)
        return _Functions(b"".join(self.text[start - _NAME : stop + 1] for start, stop in lines))

    def extents(self) -> dict[str, range]:
        """Of each module, and the kernel itself: from its first function to the beginning of its last."""
        raw = np.frombuffer(self.text, np.uint8)
        tabs = np.flatnonzero(raw == ord("\t"))
        place = np.searchsorted(tabs, self._start)
        in_module = np.append(tabs, len(raw))[place] < self._stop
        found: dict[str, range] = {}
        for i in np.flatnonzero(in_module).tolist():
            module, address = self._words(i)[1], int(self.address[i])
            found[module] = range(found[module].start if module in found else address, address + 1)
        core = self.address[~in_module]
        return found | ({"": range(int(core[0]), int(core[-1]) + 1)} if len(core) else {})

    def _words(self, index: int) -> tuple[str, str]:
        line = self.text[self._start[index] : self._stop[index]].decode(errors="replace")
        name, _, module = line.partition("\t")
        return name, module.strip("[]")


class _Module(NamedTuple):
    """A module or the kernel itself: the addresses it may use, where its functions begin, and their names."""

    name: str
    reach: range
    text: range  # from the first function to the beginning of the last
    functions: _Functions

    def alone(self) -> _Module:
        """The same without the rest of the kallsyms text (13 MiB), to be kept when the module is gone."""
        span = range(self.text.start, max(self.text.stop, self.reach.stop))
        return self._replace(functions=self.functions.within(span))

    def has(self, symbol: Symbol, address: int) -> Symbol | None:
        """`symbol`, if it belongs to this module and the address is in its reach; else None."""
        far = self.name == _BPF and symbol.offset >= LONGEST_BPF
        return symbol if symbol.module == self.name and address in self.reach and not far else None


class Kallsyms:
    """All functions in kallsyms; read again when the set of modules changes.

    An unloaded module stays known unless another was loaded at its place, because its objects may still exist
    and its events may be stored late.  One that was loaded and unloaded between two looks stays unknown.
    Threads may share an instance.  `loaded`: the kernel itself and the modules that are loaded; a new list
    for each reading.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modules: list[bytes] = []
        self._gone: dict[str, _Module] = {}
        self._here: dict[str, _Module] = {}
        self._functions = _Functions(b"")
        self.reload()

    @property
    def hidden(self) -> bool:
        """True where the kernel shows zeros instead of addresses (kptr_restrict)."""
        return not len(self._functions.address)

    def refresh(self) -> bool:
        """Read kallsyms again if a module was loaded or unloaded since.  Returns whether it was."""
        with self._lock:
            if _modules() == self._modules:
                return False
            self.reload()
            return True

    @property
    def modules(self) -> int:
        """How many modules have been known so far, the kernel itself included, but not BPF."""
        return len((self._here.keys() | self._gone.keys()) - {_BPF})

    def reload(self) -> None:
        """Read /proc/kallsyms again."""
        self._modules = _modules()
        text = _read(KALLSYMS)
        self._data = {name.decode(): int(address, 16) for address, name in _DATA.findall(text)}
        self._functions = _Functions(text)
        here = _known(self._functions, self._modules)
        went = {name: module.alone() for name, module in self._here.items() if name not in here}
        gone = self._gone | went
        self._gone = {
            name: module
            for name, module in gone.items()
            if name not in here and not _is_taken(module, here.values(), self._functions)
        }
        self._here = here
        self.loaded = [self._kernel(), *map(_loaded, self._modules)]

    def _kernel(self) -> Loaded:
        """The kernel itself, from its _stext to its last function."""
        kernel, begin = self._here.get(""), self._functions.find("_stext")
        return Loaded("", begin, max(kernel.text.stop - begin, 0) if kernel and begin else 0)

    def resolve(self, address: int) -> Symbol | None:
        """The function that made the call with the return address `address`; None if it is not known.

        The call is before the return address.  If it is the function's last instruction, the return
        address is already in the next function, so the byte before it is looked up.
        """
        if address < 1:
            return None  # from a stack that could not be walked
        with self._lock:
            found = [each for each in self._candidates(address - 1) if each is not None]
        nearest = min(found, key=lambda each: each.offset, default=None)
        return None if nearest is None else nearest._replace(offset=nearest.offset + 1)

    def _candidates(self, address: int) -> Iterator[Symbol | None]:
        """What the address may be.  The ends of modules are known only roughly, so an unloaded module may
        have begun within the reach of a loaded one."""
        symbol = self._functions.at(address)
        if symbol is not None:
            yield self._here[symbol.module].has(symbol, address)
        for module in self._gone.values():
            if address in module.reach and (symbol := module.functions.at(address)) is not None:
                yield module.has(symbol, address)

    def address(self, name: str) -> int:
        """Address of a function or variable (of VARIABLES) of the kernel itself; 0 if it is not listed."""
        return self._data.get(name) or self._functions.find(name)


def bytes_between(first: str, last: str) -> int:
    """From one symbol of the kernel itself, of any kind, to another; 0 where these are not listed."""
    pattern = rb"^([0-9a-f]{16}) \w (%s)$" % b"|".join(re.escape(each.encode()) for each in (first, last))
    found = {name.decode(): int(at, 16) for at, name in re.findall(pattern, _read(KALLSYMS), re.M)}
    return max(found.get(last, 0) - found.get(first, 0), 0) if len(found) == 2 else 0


def function_spans(names: Collection[str]) -> dict[str, range]:
    """The addresses of these functions of the kernel itself, without those that kallsyms hides or lacks.

    A function ends where the next symbol begins, so its padding is included.
    """
    functions = _Functions(_read(KALLSYMS))
    begins = {name: functions.find(name) for name in names if name}
    spans = {}
    for name, begin in begins.items():
        after = int(np.searchsorted(functions.address, np.uint64(begin), side="right"))
        if begin and after < len(functions.address):
            spans[name] = range(begin, int(functions.address[after]))
    return spans


def kernel_functions(part_of_name: bytes) -> list[tuple[str, range]]:
    """Name and addresses of the functions of the kernel itself whose name has a match of a regular
    expression in it; several may have one name.  Empty where kallsyms hides addresses."""
    functions = _Functions(_read(KALLSYMS))
    pattern = rb"^([0-9a-f]{16}) [tTwW] (\S*?(?:%s)\S*)$" % part_of_name
    found = [(int(hex_, 16), name.decode()) for hex_, name in re.findall(pattern, functions.text, re.M)]
    after = np.searchsorted(functions.address, np.array([begin for begin, _ in found], np.uint64), "right")
    ends = np.append(functions.address, np.uint64(0))[after].tolist()
    return [
        (name, range(begin, end)) for (begin, name), end in zip(found, ends, strict=True) if begin and end
    ]


def _known(functions: _Functions, modules: list[bytes]) -> dict[str, _Module]:
    """Every module by name.  /proc/modules has the size of each module's memory; its functions are in a part
    of it (from 6.4 on in several).  The kernel itself, and BPF, end soon after their last function."""
    texts = functions.extents()
    reach = {name: range(text.stop - 1 + LONGEST) for name, text in texts.items()}
    for line in modules:
        name, size, *address = line.decode(errors="replace").split()
        if address and int(address[0], 16):
            reach[name] = range(int(address[0], 16), int(address[0], 16) + int(size))
            if name in texts:
                texts[name] = _within(texts[name], reach[name])
    return {name: _Module(name, reach[name], text, functions) for name, text in texts.items()}


def _is_taken(module: _Module, here: Iterable[_Module], functions: _Functions) -> bool:
    """Does something else have the place of a module that is gone?

    BPF programs and their trampolines are scattered between modules, so only those that begin there count.
    """
    others = (each.text for each in here if each.name != _BPF)
    return (
        any(_overlap(module.text, each) for each in others) or _BPF in functions.within(module.text).extents()
    )


def _within(text: range, reach: range) -> range:
    """Where a module's functions are, without those of its init code, which has memory of its own.

    kallsyms lists them too while the module is loading.  They are soon freed, and what begins between the two
    is not in the module's place.
    """
    inside = range(max(text.start, reach.start), min(text.stop, reach.stop))
    return inside if len(inside) else text


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _hexadecimal(digits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Numbers from ASCII digits in lower case, shape (n, 16)."""
    nibbles = ((digits & 0xF) + 9 * (digits >> 6)).astype(np.uint64)
    shifts = np.arange(4 * (_DIGITS - 1), -1, -4, dtype=np.uint64)
    found: NDArray[np.uint64] = np.bitwise_or.reduce(nibbles << shifts, axis=1)
    return found


def _modules() -> list[bytes]:
    """Name, size and address of every module, without the other fields, which change (users, state)."""
    lines = (line.split() for line in _read(MODULES).splitlines())
    return [b" ".join([*words[:2], *words[5:6]]) for words in lines]


def _loaded(line: bytes) -> Loaded:
    """A module from its line of `_modules`."""
    name, size, *address = line.decode(errors="replace").split()
    return Loaded(name, int(address[0], 16) if address else 0, int(size))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
