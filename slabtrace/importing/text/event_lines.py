# SPDX-License-Identifier: Apache-2.0
"""Where the parts of each event's line are: its time, its CPU, its pointer.

"          bash-844   [000] .... 8824683.769449: kmalloc: call_site=… ptr=ffff8c16ef3bb800 bytes_req=640 …"
 ^ start              ^ bracket               ^ at                    ^ pointer (the "=")               ^ stop
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
    Number,
    Positions,
    decimal_before,
    hex_at,
    last_before,
)

BEFORE_TIME = 32  # bytes from the bracket behind the CPU to the time, at most
LONGEST_HEAD = 64
_NULL, _SIX = np.uint64(int.from_bytes(b"(null)", "little")), np.uint64((1 << 48) - 1)
_STACK_EVENTS = [np.frombuffer(each, "<u8")[0] for each in (b"<stack t", b"kernel_s", b"user_sta")]


class Times(NamedTuple):
    """The n lines of a block that have a time and a CPU: events of any kind.

    `at`: position of the colon behind the time; `line`: number of the line; `bracket`: position of the CPU's
    "[".
    """

    at: Positions
    line: Positions
    ts_ns: NDArray[np.int64]
    cpu: NDArray[np.int32]
    bracket: Positions

    def until(self, end: int) -> Times:
        """Those before a position."""
        return self.take(np.s_[: int(np.searchsorted(self.at, end))])

    def take(self, index: NDArray[np.generic] | slice) -> Times:
        """Those at `index`."""
        at, line, ts_ns, cpu, bracket = self
        return Times(at[index], line[index], ts_ns[index], cpu[index], bracket[index])


class Pointers(NamedTuple):
    """The m lines that have a pointer.

    `row`: where the line is in Times; -1: it has no time.  `begin`, `end`: of its digits.  `start`, `stop`:
    of the line.  `whole`: whether all parts of the line are where they are expected.
    """

    row: Positions
    begin: Positions
    end: Positions
    start: Positions
    stop: Positions
    value: NDArray[np.uint64]
    whole: NDArray[np.bool_]

    def take(self, index: NDArray[np.generic]) -> Pointers:
        """Those at `index`."""
        return Pointers(*(each[index] for each in self))


def find_times(block: Block) -> Times:
    """Every line with a time and a CPU; of several times in a line the last one."""
    colon = block.find(":")
    micro = block.is_(".", colon - 7)
    fits = micro | block.is_(".", colon - 10)
    fits &= block.is_(" ", colon + 1) | block.is_("\t", colon + 1)
    colon, micro = colon[fits], micro[fits]
    length = np.where(micro, 6, 9)
    fraction = decimal_before(block, colon, 9)
    seconds = decimal_before(block, colon - length - 1, 11)
    closed = last_before(block, "]", colon - length - 1 - seconds.digits, BEFORE_TIME)
    cpu = decimal_before(block, np.maximum(closed, block.begin), 5)
    bracket = closed - cpu.digits - 1
    good = (fraction.digits == length) & (seconds.digits > 0) & (seconds.value < LAST_SECOND)
    good &= (closed > 0) & (cpu.digits > 0) & (cpu.value < MOST_CPUS)
    good &= block.is_("[", np.maximum(bracket, 0))
    ts_ns = seconds.value * 1_000_000_000 + fraction.value * np.where(micro, 1000, 1)
    line = block.line_of(colon)
    times = Times(colon, line, ts_ns, cpu.value.astype(np.int32), bracket)
    return _last_of_each_line(times if good.all() else times.take(good))


def find_pointers(block: Block, times: Times, end: int) -> Pointers:
    """The first " ptr=" of each line before `end`."""
    equals = _equals(block, end)
    line = block.line_of(equals)
    row = np.searchsorted(times.at, equals) - 1
    timed = row >= 0
    timed[timed] = times.line[row[timed]] == line[timed]
    begin = equals + 1
    begin += 2 * (block.is_("0", begin) & block.is_("x", begin + 1))
    number = hex_at(block, begin)
    start, stop = block.newlines[line] + 1, block.newlines[line + 1]
    whole = timed & _ended(block, begin, number) & (stop - begin < LONGEST)
    if len(times.at):
        at, bracket = times.at[row], times.bracket[row]
        whole &= (begin - at < LONGEST) & (bracket - start <= LONGEST_HEAD)
    return Pointers(np.where(timed, row, -1), begin, begin + number.digits, start, stop, number.value, whole)


def is_stack(block: Block, colon: Positions) -> NDArray[np.bool_]:
    """Whether the events whose time ends at `colon` are stacks of the events before them."""
    return np.isin(block.words[colon + 2], _STACK_EVENTS)


def _last_of_each_line(times: Times) -> Times:
    last = np.ones(len(times.line), np.bool_)
    last[:-1] = times.line[1:] != times.line[:-1]
    return times if last.all() else times.take(last)


def _equals(block: Block, end: int) -> Positions:
    """The "=" of the first " ptr=" of each line."""
    found = block.find("=")
    found = found[: np.searchsorted(found, end)]
    for back, letter in enumerate("rtp", 1):
        found = found[block.is_(letter, found - back)]
    found = found[block.is_(" ", found - 4) | block.is_("\t", found - 4)]
    line = block.line_of(found)
    first = np.ones(len(found), np.bool_)
    first[1:] = line[1:] != line[:-1]
    return found[first]


def _ended(block: Block, begin: Positions, number: Number) -> NDArray[np.bool_]:
    """Whether the pointer is a number that ends there, or "(null)".

    "(____ptrval____)" is no address, and no NULL: the kernel could not hash it yet.
    """
    after = begin + number.digits
    ended = (number.digits > 0) & (block.is_(" ", after) | block.is_("\n", after))
    null = (number.digits == 0) & (block.words[begin] & _SIX == _NULL)
    both: NDArray[np.bool_] = ended | null
    return both
