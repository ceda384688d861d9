# SPDX-License-Identifier: Apache-2.0
"""What the program that reads kernel memory is asked for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from slabtrace.capture.slabs.walk import SlabWalk, kernel_half


class Peek(SlabWalk):
    """A walk whose program reads zeros, and notes the addresses."""

    def __init__(self) -> None:
        self._peek = self  # type: ignore[assignment]
        self._status, self._bytes = np.zeros(1, np.int64), np.zeros(64, np.uint8)
        self._limit, self._one_at_a_time = 64, threading.Lock()
        self._begin = kernel_half(0xFFFF_8880_0000_1000)
        self.asked: list[int] = []

    def run(self, address: int, length: int) -> None:
        self.asked.append(address)


@pytest.mark.parametrize(
    "address",
    [
        0xFF55_3F82_97D5_412A,  # seen: a link to the next free object, scrambled, taken for an address
        0x0000_7FF9_1131_3F10,
        8,
        1 << 63,
    ],
)
def test_what_is_no_address_of_the_kernel_is_not_read(address: int) -> None:
    walk = Peek()
    assert walk.read(address, 4) is None and walk.u64(address) == 0 and walk.asked == []


@pytest.mark.parametrize("address", [0xFFFF_8880_0000_1000, 0xFFFF_FFFF_8123_4567, -4096])
def test_addresses_of_the_kernel_are_read(address: int) -> None:
    walk = Peek()
    assert walk.read(address, 4) == bytes(4) and walk.asked == [address % (1 << 64)]


def test_with_five_levels_of_page_tables_the_half_of_the_kernel_is_larger() -> None:
    assert kernel_half(0xFF11_0000_0000_1000) == 0xFF00_0000_0000_0000
    assert kernel_half(0xFFFF_8880_0000_1000) == 0xFFFF_8000_0000_0000
