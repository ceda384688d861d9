# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the kmem events in babeltrace2's text are, for all lines of a block at once.

"[1234.000000001] box kmem_kfree: { cpu_id = 3 }, { tid = 5 }, { call_site = 0xC0, ptr = 0xCDEB5C00 }"
 ^ start        ^ closed          ^ brace       ^ contexts     ^ payload                 ^ begin   ^ end

Lines of another form (a time of day, a line too long to be hashed) make the whole block one of regular
expressions (ctf.py), which take six times as long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.importing.text.lines import LAST_SECOND
from slabtrace.importing.text.markers import MOST_CPUS
from slabtrace.importing.text.scan import (
    LONGEST,
    Block,
    Positions,
    decimal_at,
    decimal_before,
    first_after,
    hex_at,
    last_before,
)

NEEDLES = (b" kmem_kmalloc", b" kmem_kfree: ", b" kmem_cache_alloc", b" kmem_cache_free: ")
_CPU_ID = np.frombuffer(b"{ cpu_id", "<u8")[0]
_CPU_IS = (np.frombuffer(b"_cpu = \0", "<u8")[0], np.uint64((1 << 56) - 1))
_BEFORE_CPU_IS = np.frombuffer(b"rgetdestorigprev", "<u4")  # target_cpu, dest_cpu, orig_cpu, prev_cpu
_LONGEST_NAME, _LONGEST_HOST, _LONGEST_TIME = 24, 250, 24


class Events(NamedTuple):
    """The n kmem events of a block.

    `name`: where the name of the event begins, which ends at `brace` - 2; `contexts`: where the fields of
    the packet and of the task begin; `payload`: the event's own; `begin`, `end`: the digits of the pointer;
    `stop`: the end of the line.
    """

    ts_ns: NDArray[np.int64]
    cpu: NDArray[np.int32]
    ptr: NDArray[np.uint64]
    name: Positions
    brace: Positions
    contexts: Positions
    payload: Positions
    begin: Positions
    end: Positions
    stop: Positions


def find_events(block: Block) -> Events | None:
    """The kmem events of a block, in order; None: not every line that has one is of the usual form."""
    equals = _pointers(block)
    line = block.line_of(equals)
    start, stop = block.newlines[line] + 1, block.newlines[line + 1]
    closed = first_after(block, "]", start, _LONGEST_TIME)
    brace = first_after(block, "{", closed, _LONGEST_HOST)
    kmem = (closed > 0) & (brace > 0)
    name = last_before(block, " ", np.where(kmem, brace - 1, block.begin), _LONGEST_NAME) + 1
    kmem &= (name > closed) & _is_kmem(block, name)
    if int(kmem.sum()) != sum(block.text.count(each, block.begin, block.end) for each in NEEDLES):
        return None
    equals, start, stop, closed, brace, name = (
        each[kmem] for each in (equals, start, stop, closed, brace, name)
    )
    fraction, seconds = decimal_before(block, closed, 9), decimal_before(block, closed - 10, 11)
    cpu, number = decimal_at(block, brace + 11, 5), hex_at(block, equals + 4)
    payload = last_before(block, "{", equals, LONGEST)
    good = (fraction.digits == 9) & (seconds.digits > 0) & (seconds.value < LAST_SECOND)
    good &= block.is_(".", closed - 10) & block.is_("[", closed - 11 - seconds.digits)
    good &= (start == closed - 11 - seconds.digits) & (block.words[brace] == _CPU_ID)
    good &= (cpu.digits > 0) & (cpu.value < MOST_CPUS) & (number.digits > 0) & (payload > brace)
    good &= (payload - brace < LONGEST) & (stop - payload < LONGEST)
    if not good.all():
        return None
    ts_ns = seconds.value * 1_000_000_000 + fraction.value
    end = equals + 4 + number.digits
    contexts = brace + 11 + cpu.digits
    place = name, brace, contexts, payload, equals + 4, end, stop
    return Events(ts_ns, cpu.value.astype(np.int32), number.value, *place)


def cpus(block: Block) -> tuple[set[int], set[int]]:
    """(CPUs on which there was an event of any kind, CPUs that events of the scheduler name)."""
    brace, equals = block.find("{"), block.find("=")
    seen = decimal_at(block, brace[block.words[brace] == _CPU_ID] + 11, 5)
    text, mask = _CPU_IS
    equals = equals[block.words[equals - 5] & mask == text]
    before = block.words[equals - 9] & np.uint64(0xFFFFFFFF)
    others = decimal_at(block, equals[np.isin(before, _BEFORE_CPU_IS)] + 2, 5)
    return _numbers(seen.value[seen.digits > 0]), _numbers(others.value[others.digits > 0])


def _numbers(cpu: NDArray[np.int64]) -> set[int]:
    return set(np.unique(cpu[cpu < MOST_CPUS]).tolist())


def _pointers(block: Block) -> Positions:
    """The "=" of the first " ptr = 0x" of each line."""
    found = block.find("=")
    found = found[: np.searchsorted(found, block.end)]
    for step, letter in ((-1, " "), (-2, "r"), (-3, "t"), (-4, "p"), (-5, " "), (2, "0"), (3, "x")):
        found = found[block.is_(letter, found + step)]
    line = block.line_of(found)
    first = np.ones(len(found), np.bool_)
    first[1:] = line[1:] != line[:-1]
    return found[first]


def _is_kmem(block: Block, name: Positions) -> NDArray[np.bool_]:
    """Whether the names that begin there are of the kmem events that are read."""
    words = block.words
    five = [np.frombuffer(each, "<u8")[0] for each in (b"kmem_kma", b"kmem_kfr", b"kmem_cac")]
    found: NDArray[np.bool_] = np.isin(words[name], five)
    return found
