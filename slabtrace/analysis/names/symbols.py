# SPDX-License-Identifier: Apache-2.0
"""Symbols of kernel addresses, from symbols.arrow alone: `function+0x1a [module]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import SYMBOLS


class Symbols:
    """The symbols of a trace.

    An address may have several, each valid from its `since_ns` on, where a module was unloaded and another
    one loaded in its place.  Names come from the traced machine: escape them before they are shown.
    """

    def __init__(self, table: pa.Table) -> None:
        self._known: dict[int, list[tuple[int, str]]] = {}
        self._module: dict[int, str] = {}
        self.extend({name: table.column(name).to_pylist() for name in SYMBOLS.names})

    def extend(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Take more rows of symbols.arrow.  Another thread may look symbols up meanwhile."""
        for address, name, offset, module, since_ns in zip(
            *(columns[name] for name in SYMBOLS.names), strict=True
        ):
            text = f"{name}+{offset:#x}" + (f" [{module}]" if module else "")
            self._known[address] = sorted([*self._known.get(address, []), (since_ns, text)])
            self._module[address] = module

    def name(self, address: int, at_ns: int | None = None) -> str:
        """The symbol of `address` at the time `at_ns` (default: the last known); in hex if there is none.

        An address is resolved a little after its first event, so the first symbol also holds before.
        """
        versions = self._known.get(address)
        if not versions:
            return f"{address:#x}"
        if at_ns is None:
            return versions[-1][1]
        valid = [text for since_ns, text in versions if since_ns <= at_ns]
        return valid[-1] if valid else versions[0][1]

    def addresses(self) -> dict[str, set[int]]:
        """Every symbol as `name` gives it, and its addresses: static functions may share a name."""
        found: dict[str, set[int]] = {}
        for address, versions in self._known.items():
            for _, text in versions:
                found.setdefault(text, set()).add(address)
        return found

    def module(self, address: int) -> str:
        """The module of `address`, as last known; empty for the kernel itself."""
        return self._module.get(address, "")


class Stacks:
    """The call stacks of a trace, as symbols, innermost frame first."""

    def __init__(self, table: pa.Table, symbols: Symbols) -> None:
        ids = table.column("stack_id").to_pylist()
        self._row = {stack_id: row for row, stack_id in enumerate(ids)}
        self._frames = table.column("frames")
        self._symbols = symbols

    def frames(self, stack_id: int) -> Sequence[int]:
        """Addresses of the frames, innermost first; empty if there is no such stack."""
        row = self._row.get(stack_id)
        return [] if row is None else [int(frame) for frame in self._frames[row].as_py()]

    def repeated(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Stacks with the frames of an earlier row: their numbers, ascending, and that row's; shape (r,).

        The kernel numbers stacks by a hash of all frames.  The recorder leaves out those inside the call
        site, and two stacks may differ in these alone.
        """
        frames = self._frames.combine_chunks()
        offsets, values = frames.offsets.to_numpy(), plain(frames.values)
        first: dict[bytes, int] = {}
        repeated = {}
        for stack_id, row in self._row.items():
            content = values[offsets[row] : offsets[row + 1]].tobytes()
            earlier = first.setdefault(content, stack_id)
            if earlier != stack_id:
                repeated[stack_id] = earlier
        numbers = sorted(repeated)
        return np.array(numbers, np.int64), np.array([repeated[each] for each in numbers], np.int64)

    def names(self, stack_id: int, at_ns: int | None = None) -> list[str]:
        """Symbols of the frames, innermost first; empty if there is no such stack."""
        return [self._symbols.name(frame, at_ns) for frame in self.frames(stack_id)]
