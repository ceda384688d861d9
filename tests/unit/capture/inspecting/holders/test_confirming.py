# SPDX-License-Identifier: Apache-2.0
"""Chains are read again: a holder that changed after the search is not said to be one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slabtrace.capture.inspecting.holders.chains import Chain, Named
from slabtrace.capture.inspecting.holders.confirming import Confirming
from slabtrace.capture.inspecting.holders.files import Fd
from slabtrace.capture.inspecting.use import FREE, UNREAD
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.schema import Held
from tests.unit.capture.inspecting.holders.test_chains import EVENTS, FILE, GROUPS, Kernel

HOLDER = GROUPS + 24


class Naming:
    """What objects are called; what is known is not asked again until `forget`."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.known: dict[int, Named] = {}

    def named(self, address: int, _cache: int = 0) -> Named:
        return self.known.setdefault(address, self.kernel.named(address))

    def all(self, addresses: UInt64) -> None:
        for each in addresses.tolist():
            self.named(each)

    def forget(self) -> None:
        self.known.clear()


def held_by_nginx() -> Kernel:
    """An event that a group points at, which is the private data of a file that nginx has open."""
    kernel = Kernel()
    kernel.points(EVENTS, HOLDER)
    kernel.files.private[GROUPS] = FILE
    kernel.files.open[FILE] = [Fd("nginx (pid 812)", 5)]
    return kernel


def confirmed(kernel: Kernel, change: Callable[[Kernel], None]) -> Chain:
    """The chain of the event, if this changes after it was found."""
    naming = Naming(kernel)
    kernel.chains._named = naming.named
    chains = kernel.chains.all([EVENTS])
    assert chains[EVENTS].worth == Held.PROCESS
    change(kernel)
    confirming = Confirming(naming, kernel.use, kernel.chains, lambda address: address < FILE)
    return confirming.confirmed(chains)[EVENTS]


def test_what_is_still_so_stays() -> None:
    kernel = held_by_nginx()
    chain = confirmed(kernel, lambda kernel: None)
    assert chain.worth == Held.PROCESS and len(chain.steps) == 3


def test_a_queue_that_grows_meanwhile_is_the_same_holder() -> None:
    kernel = held_by_nginx()
    kernel.now[GROUPS] = "(211 in its receive queue)"
    chain = confirmed(kernel, lambda kernel: kernel.now.update({GROUPS: "(212 in its receive queue)"}))
    assert chain.worth == Held.PROCESS and "(211 in its receive queue)" in chain.steps[0].what


def closed(kernel: Kernel) -> None:
    kernel.files.open.clear()


def taken(kernel: Kernel) -> None:
    kernel.files.private.clear()


@pytest.mark.parametrize(("change", "steps"), [(closed, 2), (taken, 1)])
def test_a_chain_ends_where_it_changed(change: Callable[[Kernel], None], steps: int) -> None:
    chain = confirmed(held_by_nginx(), change)
    assert len(chain.steps) == steps and chain.worth == Held.POINTER


def pointer_gone(kernel: Kernel) -> None:
    kernel.memory.put(HOLDER, 0)


def used_again(kernel: Kernel) -> None:
    kernel.texts[GROUPS] = "of somebody else"


def freed(kernel: Kernel) -> None:
    kernel.use._state[GROUPS] = FREE


def changes_all_the_while(kernel: Kernel) -> None:
    kernel.use._state[GROUPS] = UNREAD


@pytest.mark.parametrize("change", [pointer_gone, used_again, freed, changes_all_the_while])
def test_without_its_nearest_holder_an_object_is_neither_held_nor_lost(
    change: Callable[[Kernel], None],
) -> None:
    assert confirmed(held_by_nginx(), change).worth == Held.LISTED


def test_a_slab_that_changed_once_is_read_again() -> None:
    kernel = held_by_nginx()
    states = [UNREAD, UNREAD]

    def one_state(objects: UInt64) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        return np.array(
            [states.pop() if states and each == GROUPS else 1 for each in objects.tolist()], np.int8
        )

    kernel.use.states = one_state  # type: ignore[method-assign]
    assert confirmed(kernel, lambda kernel: None).worth == Held.PROCESS
