# SPDX-License-Identifier: Apache-2.0
"""Kernel memory, many places at once: `peek_many` (bpf/peek.h) reads up to 1,024 of them per system call.

What cannot be read is no error: its words are 0, and a mask says so.  Memory changes while it is read; who
claims something of an object reads it again (in_use.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.programs.layout import header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.trace.format.batch import Int64, UInt64

Bools = NDArray[np.bool_]
_NUMBERS = header_numbers("peek.h")
REQUESTS, LONGEST, MOST_BYTES = (_NUMBERS[f"PEEK_{name}"] for name in ("REQUESTS", "LONGEST", "MANY_BYTES"))
_PAGE = 4096
_NOT_READ = 1  # of a request that was not made


class Chunk(NamedTuple):
    """Words that were read, shape (n,), of pieces that begin at `address`; word `first[i]` is piece i's.

    `unread`: of so many bytes the words are 0 because they could not be read.
    """

    words: UInt64
    address: UInt64
    first: Int64
    unread: int = 0

    def addresses(self, index: NDArray[np.intp]) -> UInt64:
        """The addresses of some of the words."""
        piece = np.searchsorted(self.first, index, "right") - 1
        return self.address[piece] + (index - self.first[piece]).astype(np.uint64) * np.uint64(8)


class Memory(Protocol):
    """Reads memory, as KernelMemory does; tests have made-up ones."""

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, Bools]:
        """The words of a struct of `size` bytes (a multiple of 8) at each address, shape (n, size // 8).

        Also which could be read, shape (n,); the words of the others are 0.
        """
        ...

    def word(self, address: int) -> int:
        """One word; 0 if it cannot be read."""
        ...

    def chunks(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
        """The memory of some ranges (multiples of 8), in parts of at most MOST_BYTES; a part is valid
        until the next one.  Pages that cannot be read are 0.
        """
        ...

    def at_once(self, begin: UInt64, length: Int64) -> UInt64 | None:
        """The words of some ranges (multiples of 8), one range after another, read in this order in one run
        of the program, which takes microseconds.  None if not all can be read, or not in one run.
        """
        ...


class KernelMemory:
    """Reads through `peek_many`.  Not for several threads at once.

    `half`: where the kernel's half of the address space begins; other addresses are not tried, because the
    CPU faults on those that are in neither half (slabs/walk.py).
    """

    def __init__(self, programs: Programs, walk: SlabWalk, half: int) -> None:
        self.word = walk.u64  # a tenth of the time that `structs` needs for one
        self._runner = programs.runner("peek_many", 1, keeps_lock=False)
        self._shared = programs.mapped("peeked_many", struct_dtype("peek.h", "peeked_many"), 1)
        self._requests: Any = self._shared["requests"][0]
        self._words: UInt64 = self._shared["bytes"][0].view(np.uint64)
        self._half = np.uint64(half)
        self.bytes_read = 0

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, Bools]:
        """See Memory."""
        words = np.zeros((len(address), size // 8), np.uint64)
        known = np.zeros(len(address), np.bool_)
        if not size or size > LONGEST:
            return words, known
        most = min(REQUESTS, MOST_BYTES // size)
        for first in range(0, len(address), most):
            some = address[first : first + most]
            status = self._run(some, np.full(len(some), size, np.int64))
            count = len(some) * size // 8
            ok = status == 0
            words[first : first + most][ok] = self._words[:count].reshape(len(some), size // 8)[ok]
            known[first : first + most] = ok
        return words, known

    def chunks(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
        """See Memory."""
        begin, length = pieces(begin, length)
        ends = np.cumsum(length)
        first = 0
        while first < len(begin):
            before = int(ends[first - 1]) if first else 0
            last = int(np.searchsorted(ends, before + MOST_BYTES, "right"))
            last = max(first + 1, min(last, first + REQUESTS))
            yield from self._chunk(begin[first:last], length[first:last])
            first = last

    def at_once(self, begin: UInt64, length: Int64) -> UInt64 | None:
        """See Memory."""
        begin, length = pieces(begin, length)
        if len(begin) > REQUESTS or int(length.sum()) > MOST_BYTES or self._run(begin, length).any():
            return None
        return self._words[: int(length.sum()) // 8].copy()

    def _chunk(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
        status = self._run(begin, length)
        at = (np.cumsum(length) - length) // 8
        ok = status == 0
        if not ok.all():
            self._words[: int(length.sum()) // 8][np.repeat(~ok, length // 8)] = 0
        yield Chunk(self._words[: int(length.sum()) // 8], begin, at, int(length[~ok].sum()))
        torn = ~ok & (length > _PAGE)
        if torn.any():  # pages of them one by one
            yield from self._pages(begin[torn], length[torn])

    def _pages(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
        edges = [_edges(*each) for each in zip(begin.tolist(), length.tolist(), strict=True)]
        address = np.concatenate([each[:-1] for each in edges])
        size = np.concatenate([np.diff(each) for each in edges]).astype(np.int64)
        for first in range(0, len(address), MOST_BYTES // _PAGE):
            some = slice(first, first + MOST_BYTES // _PAGE)
            yield from self._chunk(address[some], size[some])

    def _run(self, address: UInt64, length: Int64) -> NDArray[np.int64]:
        """Read pieces one after another into the buffer.  Returns the status of each, 0 if it was read."""
        requests = self._requests[: len(address)]
        valid = (address >= self._half) & (address + length.astype(np.uint64) > address)
        requests["address"] = np.where(valid, address, 0)
        requests["length"] = np.where(valid, length, LONGEST + 1)  # which the program passes over
        requests["at"] = np.cumsum(length) - length
        requests["status"] = _NOT_READ
        self._runner.run(len(address))
        self.bytes_read += int(length.sum())
        status: NDArray[np.int64] = requests["status"].copy()
        return status


def _edges(begin: int, length: int) -> UInt64:
    """Where a range begins, the pages in it, and where it ends."""
    pages = np.arange((begin // _PAGE + 1) * _PAGE, begin + length, _PAGE, dtype=np.uint64)
    return np.concatenate([[np.uint64(begin)], pages, [np.uint64(begin + length)]])


def pieces(begin: UInt64, length: Int64) -> tuple[UInt64, Int64]:
    """The ranges, cut into pieces of at most LONGEST bytes."""
    if not len(length) or int(length.max()) <= LONGEST:
        return begin, length
    count = -(-length // LONGEST)
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    start = np.repeat(begin, count) + (number * LONGEST).astype(np.uint64)
    rest = np.repeat(length, count) - number * LONGEST
    return start, np.minimum(rest, LONGEST)


def strings(memory: Memory, address: UInt64, limit: int = 64) -> list[str]:
    """NUL-terminated strings at these addresses, cut at `limit` bytes (a multiple of 8); "" if unreadable.

    Near the end of readable memory a string may be shorter than `limit`: then it is read word by word.
    """
    words, known = memory.structs(address, limit)
    texts = [row.tobytes().split(b"\0", 1)[0] for row in words]
    for i in np.flatnonzero(~known).tolist():
        places = address[i] + np.arange(0, limit, 8, dtype=np.uint64)
        single, ok = memory.structs(places, 8)
        whole = single[: int(np.argmin(ok)) if not ok.all() else len(ok)]
        texts[i] = whole.tobytes().split(b"\0", 1)[0]
    return [text.decode(errors="backslashreplace") for text in texts]
