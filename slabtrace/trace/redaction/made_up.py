# SPDX-License-Identifier: Apache-2.0
"""Replacements for the values of one machine: addresses, numbers of processes and stacks, names.

A replacement depends only on the order of the true values (or on the order in which they were met), never on
their distances.  So there is no secret to keep, and nothing to calculate back.  Equal values stay equal, and
0 stays 0.  redact.py says which column gets which replacement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from slabtrace.errors import TraceError
from slabtrace.trace.format.batch import Int64, UInt64
from slabtrace.trace.format.schema import LARGEST_ORDER, PAGES_OF_ORDER

# No kernel uses these addresses, so a replaced one is recognised; they have 16 digits, as true ones.
DATA = 0x5AB0_0000_0000_0000
TEXT = 0x7E87_0000_0000_0000
LARGEST_NUMBER = np.uint64(PAGES_OF_ORDER + LARGEST_ORDER)  # of a `cache` that is no address
FIRST_PID = (1 << 22) + 1  # PID_MAX_LIMIT is 1 << 22
FUNCTION_ALIGNMENT = 16
LARGEST_FUNCTION = 1 << 24  # a larger offset is damage
# A memory cgroup, which kernels before 5.9 append to the names of its caches; or an address.
_IDENTIFYING = re.compile(r"\(\d+:.*\)$|[0-9a-f]{12,}", re.DOTALL)


class Ranks:
    """The rank of each distinct value among those met: 1 for the least; 0 has the rank 0."""

    def __init__(self) -> None:
        self._known: UInt64 = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def known(self) -> UInt64:
        """All values met, ascending, without 0."""
        return self._known

    def meet(self, values: UInt64) -> None:
        """Take values, shape (n,)."""
        new = np.unique(values[~self._has(values) & (values != 0)])
        if len(new):
            self._known = np.union1d(self._known, new)

    def of(self, values: UInt64) -> UInt64:
        """The rank of each, shape (n,).  Raises TraceError for a value that was not met."""
        if not (self._has(values) | (values == 0)).all():
            raise TraceError("the trace grows while it is redacted", "wait until its recording has ended")
        rank: UInt64 = np.searchsorted(self._known, values).astype(np.uint64) + np.uint64(1)
        rank[values == 0] = 0
        return rank

    def _has(self, values: UInt64) -> NDArray[np.bool_]:
        if not len(self._known):
            return np.zeros(len(values), np.bool_)
        place = np.minimum(np.searchsorted(self._known, values), len(self._known) - 1)
        has: NDArray[np.bool_] = self._known[place] == values
        return has


class Memory:
    """Addresses of memory: aligned blocks of 2^`bits` bytes become adjacent blocks in the same order.

    The lower bits stay.
    """

    def __init__(self, bits: int) -> None:
        self._bits, self._blocks = np.uint64(bits), Ranks()

    def meet(self, addresses: UInt64) -> None:
        """Take addresses, shape (n,)."""
        self._blocks.meet(self._block(addresses))

    def of(self, addresses: UInt64) -> UInt64:
        """The replacement of each address, shape (n,).  Raises as Ranks.of."""
        low = addresses & np.uint64((1 << int(self._bits)) - 1)
        made = (self._blocks.of(self._block(addresses)) << self._bits) + np.uint64(DATA) | low
        return np.where(addresses == 0, np.uint64(0), made)

    def _block(self, addresses: UInt64) -> UInt64:
        """The number of each address's block; only the address 0 has 0."""
        return np.where(addresses == 0, np.uint64(0), (addresses >> self._bits) + np.uint64(1))


class CacheKeys:
    """Keys of slab caches, which are addresses of memory; small numbers (the order of pages) stay."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def meet(self, keys: UInt64) -> None:
        """Take keys, shape (n,)."""
        self._memory.meet(keys[keys > LARGEST_NUMBER])

    def of(self, keys: UInt64) -> UInt64:
        """The replacement of each key, shape (n,).  Raises as Ranks.of."""
        return np.where(
            keys > LARGEST_NUMBER, self._memory.of(np.where(keys > LARGEST_NUMBER, keys, 0)), keys
        )


class Text:
    """Addresses of code: functions become adjacent, in the same order; offsets in a function stay."""

    def __init__(self, addresses: Ranks, offsets: Mapping[int, int]) -> None:
        """`addresses`: all of them; `offsets`: offset in its function, of each address with a symbol."""
        self._addresses = addresses
        made, end, before, last = [0], TEXT, -1, 0
        for address in addresses.known.tolist():
            offset = offsets.get(address, 0)
            offset = offset if offset < LARGEST_FUNCTION else 0
            if address - offset == before:
                end += address - last
            else:
                end = -(-(end + 1) // FUNCTION_ALIGNMENT) * FUNCTION_ALIGNMENT + offset
            made.append(end)
            before, last = address - offset, address
        self._made: UInt64 = np.array(made, np.uint64)

    def of(self, addresses: UInt64) -> UInt64:
        """The replacement of each address, shape (n,).  Raises as Ranks.of."""
        return self._made[self._addresses.of(addresses).astype(np.intp)]


class Pids:
    """Numbers of processes and threads: in the same order from FIRST_PID on, which no process can have."""

    def __init__(self) -> None:
        self._numbers = Ranks()

    def meet(self, numbers: Iterable[int] | UInt64) -> None:
        """Take numbers, shape (n,)."""
        self._numbers.meet(np.asarray(numbers, np.uint64))

    def of(self, numbers: Iterable[int] | UInt64) -> UInt64:
        """The replacement of each number, shape (n,).  Raises as Ranks.of."""
        rank = self._numbers.of(np.asarray(numbers, np.uint64))
        return np.where(rank == 0, rank, rank + np.uint64(FIRST_PID - 1))


class StackIds:
    """Numbers of stacks, in the order met; negative ones stay.

    They are hashes of the stack's addresses (bpf_get_stackid).  Even their order would reveal where the
    kernel is loaded, to anybody who has its symbols.
    """

    def __init__(self) -> None:
        self._number: dict[int, int] = {}

    def of(self, ids: Int64) -> Int64:
        """The replacement of each number, shape (n,)."""
        number = self._number
        return np.array(
            [each if each < 0 else number.setdefault(each, len(number)) for each in ids.tolist()], np.int64
        )


class Names:
    """Texts as `word-1`, `word-2`, in the order met; an empty one stays."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._names: dict[str, str] = {}

    def of(self, text: str) -> str:
        """The replacement of `text`."""
        return text and self._names.setdefault(text, f"{self._word}-{len(self._names) + 1}")


class Paths:
    """Paths of cgroups as /cgroup-1, /cgroup-2, in the order met; the root stays."""

    def __init__(self) -> None:
        self._names = Names("/cgroup")

    def of(self, path: str) -> str:
        """The replacement of `path`."""
        return path if path == "/" else self._names.of(path)


class CacheNames:
    """Names of slab caches: unchanged, except for memory cgroups and addresses in them."""

    def __init__(self) -> None:
        self._parts = Names("redacted")

    def of(self, name: str) -> str:
        """`name`, without what identifies the machine."""
        return _IDENTIFYING.sub(lambda found: self._parts.of(found.group()), name)
