# SPDX-License-Identifier: Apache-2.0
"""Addresses and symbols of call sites and frames that a recording may know only by name.

A trace names code by addresses.  Where a recording has none, one is made up: not canonical on any 64-bit
machine, so it cannot be taken for an address of the kernel.
"""

from __future__ import annotations

from typing import Any

from slabtrace.importing.records import Frame, Symbol

MADE_UP = 0xF0F0_0000_0000_0000


class Addresses:
    """The address of each place; new symbols wait until they are taken.  `made_up`: how many were."""

    def __init__(self) -> None:
        self._of: dict[Symbol, int] = {}
        self._known: set[int] = set()
        self._waiting: list[tuple[int, Symbol]] = []
        self.made_up = 0

    def of(self, address: int, symbol: Symbol | None) -> int:
        """The address of a place: its own if it has one, else the one that its symbol got first."""
        if symbol is None:
            return address
        if address == 0:
            address = self._of.get(symbol, 0)
        if address == 0:
            address = MADE_UP + 16 * self.made_up
            self.made_up += 1
        self._of.setdefault(symbol, address)
        if address not in self._known:
            self._known.add(address)
            self._waiting.append((address, symbol))
        return address

    def frames(self, stack: tuple[Frame, ...]) -> list[int]:
        """The addresses of a stack's frames."""
        return [self.of(frame.address, frame.symbol) for frame in stack]

    def take_symbols(self, ts_ns: int) -> dict[str, list[Any]]:
        """Rows of symbols.arrow that were not taken yet."""
        waiting, self._waiting = self._waiting, []
        return {
            "address": [address for address, _ in waiting],
            "name": [symbol.name for _, symbol in waiting],
            "offset": [symbol.offset for _, symbol in waiting],
            "module": [symbol.module for _, symbol in waiting],
            "since_ns": [ts_ns] * len(waiting),
        }
