# SPDX-License-Identifier: Apache-2.0
"""Chains are read again from end to end: what changed meanwhile is no holder.

Example: a search found a pointer to a file in a packet, which is in the queue of the socket @a.  Then the
packet was received, freed, and used again for the socket @b.  At the second reading the pointer is gone,
so the chain ends before the packet, and nothing is said of @b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from slabtrace.capture.inspecting.holders.chains import DOUBTFUL, POINTER, Chain, Chains, Named, Step
from slabtrace.capture.inspecting.use import USED, SlabUse
from slabtrace.trace.format.batch import UInt64

_TRIES = 3  # a slab that changes all the while may be read at another time


class Naming(Protocol):
    """What naming.Naming does."""

    def named(self, address: int, _cache: int = 0) -> Named: ...  # noqa: D102

    def all(self, addresses: UInt64) -> None: ...  # noqa: D102

    def forget(self) -> None: ...  # noqa: D102


class Confirming:
    """Confirms chains, once they are all known."""

    def __init__(
        self, naming: Naming, use: SlabUse, chains: Chains, is_object: Callable[[int], bool]
    ) -> None:
        """`is_object(address)`: is it in a slab?"""
        self._naming, self._use, self._chains, self._is_object = naming, use, chains, is_object

    def confirmed(self, chains: Mapping[int, Chain]) -> dict[int, Chain]:
        """The chains, each as far as it is still so."""
        holders = {step.address for chain in chains.values() for step in chain.steps if _is_named(step)}
        same = self._unchanged(sorted(holders))
        return {address: self._confirmed(chain, same) for address, chain in chains.items()}

    def _unchanged(self, holders: list[int]) -> set[int]:
        """Those of the objects that are in use, and still what they were called."""
        before = {each: self._naming.named(each) for each in holders}
        same = set[int]()
        for _ in range(_TRIES):
            self._naming.forget()
            self._chains.forget()
            left = np.array([each for each in holders if each not in same], np.uint64)
            self._naming.all(left)
            for each, state in zip(left.tolist(), self._use.states_in_time(left).tolist(), strict=True):
                in_use = state == USED or not self._is_object(each)
                if in_use and self._naming.named(each).is_same(before[each]):
                    same.add(each)
            if len(same) == len(holders):
                break
        return same

    @staticmethod
    def _confirmed(chain: Chain, same: set[int]) -> Chain:
        for number, step in enumerate(chain.steps):
            if (_is_named(step) and step.address not in same) or not step.still():
                steps = chain.steps[:number]
                return Chain(steps, min(chain.worth, POINTER)) if steps else DOUBTFUL
        return chain


def _is_named(step: Step) -> bool:
    return step.area == "slab" and step.address != 0
