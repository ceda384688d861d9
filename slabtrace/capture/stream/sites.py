# SPDX-License-Identifier: Apache-2.0
"""Give each site (all that repeats of an event) a small number, at the speed of the rings.

The words of a slot that make its site are mixed into a 64-bit key.  A direct-mapped table of keys answers
nearly every event with one lookup and one compare; the rest (new sites, and sites that share an entry)
goes through a dict, once per distinct key and chunk.  n sites share a key with probability n^2/2^65: one
in a million for six million.  Any user can have the kernel allocate objects of any size, so the table is
bounded: from MOST sites on, a new site stands for all `bytes_req` and all stacks (Flag.COARSE).

Example: three chunks, with keys of 8 bits and a table of 16 entries; the sites A and C share entry 5.

    chunk  site    key    entry  has then   result
    1      A       0x51   5      nothing    miss, not in the dict: new, number 0
    1      B       0x73   7      nothing    miss, new, number 1
    1      A       0x51   5      nothing    miss; the same key as before, looked up once for both: number 0
    2      A       0x51   5      0x51       hit: number 0
    2      C       0x5f   5      0x51       miss, new, number 2; entry 5 has its key from now on
    3      A       0x51   5      0x5f       miss; the dict has number 0; entry 5 has A's key again
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slabtrace.capture.programs.layout import event_dtype
from slabtrace.trace.format.batch import UInt32, UInt64
from slabtrace.trace.format.schema import FREE_BIT, STACK_NOT_TAKEN, Flag

# Odd 64-bit constants with well-spread bits (the golden ratio, and xxHash's primes).
_MIX = tuple(
    np.uint64(k)
    for k in (
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x9E3779B185EBCA87,
        0x85EBCA77C2B2AE63,
    )
)
MOST = 1 << 19  # sites, 128 MiB; the simulated day of benchmarks/long_run.py has 37,000
_FIRST_BITS = 16
# Word numbers within a slot, from the C layout.  Pairs share a word (bytes_req and bytes_alloc,
# gfp_flags and stack_id); node, kind and flags are the upper half of cpu's: a test holds that.
_DTYPE = event_dtype()
_OFFSET = {name: _DTYPE.fields[name][1] for name in _DTYPE.names}  # type: ignore[index, union-attr]
_CALL_SITE, _CACHE = _OFFSET["call_site"] // 8, _OFFSET["cache"] // 8
_BYTES, _GFP_STACK = _OFFSET["bytes_req"] // 8, _OFFSET["gfp_flags"] // 8
_CPU_KIND = _OFFSET["cpu"] // 8


def site_keys(rows: np.ndarray[Any, np.dtype[np.uint64]]) -> UInt64:
    """Mix the site words of slots, rows of shape (n, 8), into keys of shape (n,), uint64."""
    keys = rows[:, _CALL_SITE] * _MIX[0]
    keys += rows[:, _CACHE] * _MIX[1]
    keys += rows[:, _BYTES] * _MIX[2]
    keys += rows[:, _GFP_STACK] * _MIX[3]
    keys += (rows[:, _CPU_KIND] >> np.uint64(32)) * _MIX[4]
    # A sum of products is weak in its low bits only, and the table index is taken from the top.
    keys |= np.uint64(1)  # 0 marks an empty table entry
    return keys


def coarse(rows: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Slots (n, 8) as their coarse sites have them: one for all `bytes_req` and all stacks."""
    slots = np.frombuffer(bytearray(rows.tobytes()), dtype=_DTYPE)
    is_alloc, has_stack = slots["kind"] & FREE_BIT == 0, slots["stack_id"] >= 0
    slots["bytes_req"] = np.where(is_alloc, slots["bytes_alloc"], slots["bytes_req"])
    slots["stack_id"] = np.where(has_stack, STACK_NOT_TAKEN, slots["stack_id"])
    slots["flags"] |= np.uint8(Flag.COARSE)
    return slots.view(np.uint64).reshape(rows.shape)


class SiteTable:
    """Numbers sites, at most `most` in full detail.  `take_new` returns the slot of each new one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._ids: dict[int, int] = {}
        self._new: list[np.ndarray[Any, np.dtype[np.uint64]]] = []
        self._resize(_FIRST_BITS)

    def __len__(self) -> int:
        return len(self._ids)

    def intern(self, rows: np.ndarray[Any, np.dtype[np.uint64]]) -> UInt32:
        """Site numbers, shape (n,), uint32, of slots of slab events, shape (n, 8)."""
        keys = site_keys(rows)
        entry = (keys >> self._shift).view(np.int64)
        sites = self._sites.take(entry)
        missed = np.flatnonzero(self._keys.take(entry) != keys)
        if len(missed):
            sites[missed] = self._slow(keys[missed], rows, missed)
        return sites

    def take_new(self) -> np.ndarray[Any, np.dtype[np.void]]:
        """Slots, shape (n,), event_dtype, of the sites numbered since the last call, in order of number."""
        new = np.array(self._new, dtype=np.uint64).reshape(-1, _DTYPE.itemsize // 8)
        self._new.clear()
        return np.frombuffer(new.tobytes(), dtype=_DTYPE)

    def _slow(self, keys: UInt64, rows: np.ndarray[Any, np.dtype[np.uint64]], missed: Any) -> UInt32:
        distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        numbers = np.array([self._ids.get(key, -1) for key in distinct.tolist()])
        new = np.flatnonzero(numbers < 0)
        slots, names = rows[missed[first[new]]], distinct[new]
        room = max(self._most - len(self._ids), 0)
        slots[room:] = coarse(slots[room:])
        names[room:] = site_keys(slots[room:])
        numbers[new] = [self._number(name, slot) for name, slot in zip(names.tolist(), slots, strict=True)]
        if len(self._ids) > len(self._keys) // 8:
            self._resize(self._bits + 2)
        entry = (distinct >> self._shift).view(np.int64)
        self._keys[entry] = distinct
        self._sites[entry] = numbers
        found: UInt32 = numbers.astype(np.uint32)[inverse]
        return found

    def _number(self, key: int, row: np.ndarray[Any, np.dtype[np.uint64]]) -> int:
        if key not in self._ids:
            self._ids[key] = len(self._ids)
            self._new.append(row.copy())
        return self._ids[key]

    def _resize(self, bits: int) -> None:
        self._bits = min(bits, 22)
        self._shift = np.uint64(64 - self._bits)
        self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
        self._sites = np.zeros(1 << self._bits, dtype=np.uint32)
        if self._ids and bits <= 22:
            keys = np.fromiter(self._ids.keys(), dtype=np.uint64, count=len(self._ids))
            entry = (keys >> self._shift).view(np.int64)
            self._keys[entry] = keys
            self._sites[entry] = np.arange(len(keys), dtype=np.uint32)
