# SPDX-License-Identifier: Apache-2.0
"""Numbers and texts found in a block of text, for all lines at once.

Python needs about 2 µs to match one line with a regular expression and to take its fields out.  Here each
step looks at one byte, or eight, of every line, so a line costs some hundred steps of a nanosecond.
Positions are indices into `Block.bytes`, which has room before and behind the text, so no step leaves it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.intp]
Words = NDArray[np.uint64]

FRONT = b"\0" * 79 + b"\n"
BACK = b"\0" * 640
LONGEST = 512  # bytes of a text that is hashed
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
# The bits of each word of a text that are of the text, by its length: shape (LONGEST + 1, words).
_KEPT = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)[
    np.clip(np.arange(LONGEST + 1)[:, None] - np.arange(0, LONGEST, 8), 0, 8)
]
_ODD = np.random.default_rng().integers(0, 1 << 63, (3, LONGEST // 8), np.uint64) * np.uint64(2) + np.uint64(
    1
)


class Block:
    """A piece of text that ends with a newline.

    `begin`: where the text begins; `newlines`: their positions, the one before the text included.
    """

    begin = len(FRONT)

    def __init__(self, *pieces: bytes) -> None:
        self.text = b"".join([FRONT, *pieces, BACK])
        self.bytes: NDArray[np.uint8] = np.frombuffer(self.text, np.uint8)
        self.words: Words = np.ndarray((len(self.text) - 7,), "<u8", self.text, 0, (1,))
        self.newlines: Positions = self.find("\n")

    @property
    def end(self) -> int:
        """Where the last whole line ends."""
        return int(self.newlines[-1]) + 1

    @property
    def lines(self) -> int:
        """The number of whole lines."""
        return len(self.newlines) - 1

    def rest(self, begin: int) -> bytes:
        """The text from `begin` on."""
        return self.text[begin : -len(BACK)]

    def find(self, letter: str) -> Positions:
        """Every position of a character."""
        return np.flatnonzero(self.bytes == ord(letter))

    def line_of(self, position: Positions) -> Positions:
        """The line that each position is in, counted from 0."""
        return np.searchsorted(self.newlines, position) - 1

    def is_(self, letter: str, position: Positions) -> NDArray[np.bool_]:
        """Whether a character stands at each position."""
        here: NDArray[np.bool_] = self.bytes[position] == ord(letter)
        return here


class Number(NamedTuple):
    """Numbers, and how many digits each has; both of shape (n,)."""

    value: NDArray[Any]
    digits: Positions


def decimal_before(block: Block, end: Positions, most: int) -> Number:
    """The decimal numbers that end just before `end`, of at most `most` digits (18)."""
    value, digits = np.zeros(len(end), np.int64), np.zeros(len(end), np.intp)
    alive = np.ones(len(end), np.bool_)
    for place in range(most):
        digit = block.bytes[end - (place + 1)] - np.uint8(ord("0"))
        alive &= digit <= 9
        if not alive.any():
            break
        value += (digit * alive) * np.int64(10**place)
        digits += alive
    return Number(value, digits)


def decimal_at(block: Block, begin: Positions, most: int) -> Number:
    """The decimal numbers that begin at `begin`, of at most `most` digits (18)."""
    value, digits = np.zeros(len(begin), np.int64), np.zeros(len(begin), np.intp)
    alive = np.ones(len(begin), np.bool_)
    for place in range(most):
        digit = block.bytes[begin + place] - np.uint8(ord("0"))
        alive &= digit <= 9
        if not alive.any():
            break
        value = np.where(alive, 10 * value + digit, value)
        digits += alive
    return Number(value, digits)


def hex_at(block: Block, begin: Positions) -> Number:
    """The hexadecimal numbers that begin at `begin`, of at most 16 digits; most have 16."""
    high, low = block.words[begin], block.words[begin + 8]
    value = _eight_digits(high) << np.uint64(32) | _eight_digits(low)
    digits = np.full(len(begin), 16, np.intp)
    others = np.flatnonzero(~(_is_hex(high) & _is_hex(low)))
    if len(others):
        value[others], digits[others] = _digit_by_digit(block, begin[others])
    return Number(value, digits)


def last_before(block: Block, letter: str, end: Positions, within: int) -> Positions:
    """The nearest position of a character before `end`, no further than `within`; -1 if there is none."""
    return _nearest(block, letter, end, range(-1, -within - 1, -1))


def first_after(block: Block, letter: str, begin: Positions, within: int) -> Positions:
    """The nearest position of a character behind `begin`, no further than `within`; -1 if there is none."""
    return _nearest(block, letter, begin, range(1, within + 1))


def _nearest(block: Block, letter: str, start: Positions, steps: range) -> Positions:
    found = np.full(len(start), -1, np.intp)
    left = np.arange(len(start))
    for step in steps:
        here = block.bytes[start[left] + step] == ord(letter)
        if here.any():
            found[left[here]] = start[left[here]] + step
            left = left[~here]
            if not len(left):
                break
    return found


def hashes(block: Block, begin: Positions, end: Positions) -> Words:
    """A hash of each text [begin, end) of at most LONGEST bytes, shape (n,).

    It has 64 bits, and its factors are chosen at random for each process: nobody can prepare a file in which
    two texts share a hash.
    """
    length = end - begin
    width = -(-max(int(length.max(initial=0)), 1) // 8)
    words = block.words[begin[:, None] + np.arange(0, 8 * width, 8)]
    words &= _KEPT[length, :width]
    words *= _ODD[0, :width]
    words ^= words >> np.uint64(32)
    words *= _ODD[1, :width]
    words ^= words >> np.uint64(29)
    mixed: Words = words.sum(axis=1, dtype=np.uint64) + length.astype(np.uint64) * _ODD[2, 0]
    return mixed


def combined(first: Words, second: Words) -> Words:
    """One hash of two."""
    mixed: Words = (first ^ first >> np.uint64(31)) * _ODD[2, 1] + second
    return mixed


def _every_byte(value: int) -> np.uint64:
    return np.uint64(value * 0x0101010101010101)


def _nibbles(word: Words) -> Words:
    """The value of each of eight digits, in its byte; of no meaning where there is another character."""
    letter = word >> np.uint64(6) & _every_byte(0x01)
    return (word & _every_byte(0x0F)) + letter * np.uint64(9)


def _is_hex(word: Words) -> NDArray[np.bool_]:
    """Whether eight characters are digits 0-9a-f: they are if their values are written so."""
    nibble = _nibbles(word) & _every_byte(0x0F)
    letter = (nibble + _every_byte(6)) >> np.uint64(4) & _every_byte(0x01)
    written = nibble + _every_byte(ord("0")) + letter * np.uint64(ord("a") - ord("0") - 10)
    same: NDArray[np.bool_] = written == word
    return same


def _eight_digits(word: Words) -> Words:
    """The number of eight digits, the first one in the lowest byte."""
    value = (_nibbles(word) & _every_byte(0x0F)).byteswap()
    value = (value | value >> np.uint64(4)) & np.uint64(0x00FF00FF00FF00FF)
    value = (value | value >> np.uint64(8)) & np.uint64(0x0000FFFF0000FFFF)
    return (value | value >> np.uint64(16)) & np.uint64(0xFFFFFFFF)


def _digit_by_digit(block: Block, begin: Positions) -> Number:
    value, digits = np.zeros(len(begin), np.uint64), np.zeros(len(begin), np.intp)
    alive = np.ones(len(begin), np.bool_)
    for place in range(16):
        digit = _HEX[block.bytes[begin + place]]
        alive &= digit < 16
        if not alive.any():
            break
        value = np.where(alive, value << np.uint64(4) | digit, value)
        digits += alive
    return Number(value, digits)
