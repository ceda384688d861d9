# SPDX-License-Identifier: Apache-2.0
"""Numbers read for all lines at once are those that Python reads one by one; texts are distinguished."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.importing.distinct import distinct
from slabtrace.importing.text.scan import Block, decimal_before, hashes, hex_at, last_before


def starts(block: Block) -> np.ndarray:
    return block.newlines[:-1] + 1


@given(st.lists(st.text("0123456789abcdefABCDEFxg ", min_size=1, max_size=20), min_size=1, max_size=20))
def test_hexadecimal_numbers(texts: list[str]) -> None:
    block = Block("".join(f"{each}\n" for each in texts).encode())
    number = hex_at(block, starts(block))
    for text, value, digits in zip(texts, number.value.tolist(), number.digits.tolist(), strict=True):
        run = 0
        while run < min(len(text), 16) and text[run] in "0123456789abcdefABCDEF":
            run += 1
        assert (digits, value) == (run, int(text[:run] or "0", 16))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_decimal_numbers(numbers: list[int]) -> None:
    block = Block("".join(f"x{each}\n" for each in numbers).encode())
    found = decimal_before(block, block.newlines[1:], 18)
    assert found.value.tolist() == numbers
    assert found.digits.tolist() == [len(str(each)) for each in numbers]


@given(
    st.lists(
        st.binary(min_size=0, max_size=200).filter(lambda each: b"\n" not in each), min_size=2, max_size=30
    )
)
def test_hashes_are_equal_for_equal_texts_alone(texts: list[bytes]) -> None:
    block = Block(b"".join(each + b"\n" for each in texts))
    found = hashes(block, starts(block), block.newlines[1:]).tolist()
    same = [[a == b for b in texts] for a in texts]
    assert [[a == b for b in found] for a in found] == same


def test_the_nearest_letter_before() -> None:
    block = Block(b"a]b]cd\n")
    end = np.array([block.begin + 6])
    assert (last_before(block, "]", end, 5) - block.begin).tolist() == [3]
    assert last_before(block, "]", end, 2).tolist() == [-1]


def test_different_values_in_order() -> None:
    found = distinct(np.array([7, 3, 7, 9, 3]))
    assert (found.value.tolist(), found.code.tolist(), found.first.tolist()) == (
        [7, 3, 9],
        [0, 1, 0, 2, 1],
        [0, 1, 3],
    )
