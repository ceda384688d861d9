# SPDX-License-Identifier: Apache-2.0
"""From an object up to who keeps it, by made-up indexes, lists and pointers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slabtrace.capture.inspecting.holders.chains import Chain, Chains, Named
from slabtrace.capture.inspecting.holders.files import Fd
from slabtrace.capture.inspecting.holders.search import Area
from slabtrace.capture.inspecting.holders.units import Pointer, Unit, Units
from slabtrace.capture.inspecting.lists import Lists
from slabtrace.trace.format.schema import Held
from tests.unit.capture.inspecting.holders.test_search import _Use
from tests.unit.capture.inspecting.made_up import BASE, Memory, cache, scene

EVENTS, GROUPS, DATA = BASE + 0x4000, BASE + 0x8000, Area("data", "kernel data", BASE + 0xC000, 4096)
EVENT, GROUP = cache(BASE + 0x100, "event", 64), cache(BASE + 0x200, "group", 256)
FILE = BASE + 0x1_0000


class Files:
    """Open files, by their addresses."""

    def __init__(self) -> None:
        self.open: dict[int, list[Fd]] = {}
        self.private: dict[int, int] = {}
        self.spaces: dict[int, int] = {}

    def fds(self, file: int) -> list[Fd]:
        return self.open.get(file, [])

    def of_private(self, address: int) -> int:
        return self.private.get(address, 0)

    def ring_of(self, file: int) -> int:
        return 0

    def of_dentry(self, dentry: int) -> int:
        return 0

    def task_of(self, mm: int) -> int:
        return self.spaces.get(mm, 0)

    def is_open(self, fd: Fd, file: int) -> bool:
        return fd in self.open.get(file, [])

    def is_private(self, file: int, address: int) -> bool:
        return self.private.get(address) == file

    def has_mm(self, task: int, mm: int) -> bool:
        return self.spaces.get(mm) == task

    def forget(self) -> None:
        pass


class Keyrings:
    def of(self, key: int) -> list[int]:
        return []

    def forget(self) -> None:
        pass


class Kernel:
    """Events that are linked at 0, groups with the head of a list at 16."""

    def __init__(self) -> None:
        self.memory, self.files = Memory(), Files()
        where = scene(self.memory, {}, (EVENTS, EVENT), (GROUPS, GROUP)).where
        self.owners: dict[int, tuple[int, str]] = {}
        self.kinds: dict[int, str] = {}
        self.texts: dict[int, str] = {}
        self.now: dict[int, str] = {}
        self.structs: dict[int, str] = {}
        self.asked = 0
        self.use = _Use()
        units = Units(self.memory, where, self.use, [DATA])
        files: Any = self.files
        keyrings: Any = Keyrings()
        lists = Lists(self.memory, where)
        self.fields: dict[tuple[str, int], str] = {}
        self.chains = Chains(
            self.named,
            lambda struct, at: self.fields.get((struct, at), ""),
            files,
            keyrings,
            units,
            lists,
            lambda at: ("", 0),
        )

    def named(self, address: int, cache: int = 0) -> Named:
        self.asked += 1
        kind, text = self.kinds.get(address, "thing"), self.texts.get(address, "")
        struct, owner = self.structs.get(address, ""), self.owners.get(address)
        return Named(kind, text, struct, owner, self.now.get(address, ""))

    def points(self, at: int, place: int, inside: int = 0) -> None:
        """A pointer at `place`, in a group or event, to `inside` the object at `at`."""
        slab, size, of = (EVENTS, 64, EVENT) if place < GROUPS else (GROUPS, 256, GROUP)
        begin = place - (place - slab) % size
        pointer = Pointer(Unit(begin, of.address, None), place - begin, inside)
        self.chains.pointers.setdefault(at, []).append(pointer)

        self.memory.put(place, at + inside)

    def chain(self, at: int) -> Chain:
        return self.chains.all([at])[at]


def test_nothing_points_at_it() -> None:
    assert Kernel().chain(EVENTS) == Chain((), Held.NOTHING)


def test_a_file_descriptor_holds_what_the_file_leads_to() -> None:
    kernel = Kernel()
    kernel.files.private[GROUPS] = FILE
    kernel.files.open[FILE] = [Fd("nginx (pid 812)", 5)]
    kernel.points(EVENTS, GROUPS + 24)
    chain = kernel.chain(EVENTS)
    assert chain.worth == Held.PROCESS
    assert [each.what for each in chain.steps] == ["thing, +0x18", "thing", "fd 5 of nginx (pid 812)"]


def test_members_of_a_list_are_held_by_who_has_the_head() -> None:
    kernel = Kernel()
    places = [GROUPS + 16, *(EVENTS + 64 * each for each in range(3))]
    for at, before, after in zip(places, [places[-1], *places[:-1]], [*places[1:], places[0]], strict=True):
        kernel.memory.put(at, after, before)
        if at != places[0]:
            kernel.points(at, before)  # its next leads here
            kernel.points(at, after + 8)
    for each in places[1:]:
        (step,) = kernel.chain(each).steps
        assert (step.what, step.address) == ("thing, +0x10", GROUPS)


def test_a_holder_tells_what_is_below_it_and_that_what_is_below_that() -> None:
    """A message of a POSIX queue (5.10, 6.1): it and the node of the tree that has its list are kmallocs."""
    kernel, message, node = Kernel(), GROUPS + 256, EVENTS
    kernel.structs[GROUPS] = "mqueue_inode_info"
    kernel.fields["mqueue_inode_info", 24] = "mqueue_inode_info.msg_tree.rb_node"
    kernel.fields["posix_msg_tree_node", 40] = "posix_msg_tree_node.msg_list.next"
    kernel.points(message, node + 40)
    kernel.points(node, GROUPS + 24)
    chain = kernel.chain(message)
    assert chain.steps[0].what == "posix_msg_tree_node, posix_msg_tree_node.msg_list.next"
    assert kernel.chains.kinds == {message: "message", node: "posix_msg_tree_node"}


def test_owners_by_the_objects_own_fields_go_before_pointers_that_were_found() -> None:
    kernel = Kernel()
    kernel.kinds[GROUPS] = "dentry"
    kernel.owners[EVENTS] = (GROUPS, "entry of")
    kernel.points(EVENTS, GROUPS + 256 + 8)
    chain = kernel.chain(EVENTS)
    assert (chain.worth, chain.steps[0].relation, chain.steps[0].address) == (Held.OWNER, "entry of", GROUPS)


def test_kernel_data_is_a_holder() -> None:
    kernel = Kernel()
    kernel.chains.pointers[EVENTS] = [Pointer(Unit(DATA.begin, 0, DATA), 0x40, 8)]
    (step,) = kernel.chain(EVENTS).steps
    assert (step.what, step.relation, step.area) == ("kernel data +0x40", "points at it +0x8", "data")


def test_objects_that_hold_each_other_end() -> None:
    kernel = Kernel()
    kernel.points(EVENTS, GROUPS + 24)
    kernel.points(GROUPS, EVENTS + 32)
    chain = kernel.chain(EVENTS)
    assert chain.worth == Held.POINTER and len(chain.steps) == 1


def test_a_long_chain_is_cut() -> None:
    kernel = Kernel()
    for number in range(40):
        kernel.owners[EVENTS + 64 * number] = (EVENTS + 64 * (number + 1), "in")
    assert 1 <= len(kernel.chain(EVENTS).steps) <= 8


def test_what_has_to_be_searched_for_next_are_the_ends_that_are_not_known() -> None:
    kernel = Kernel()
    kernel.points(EVENTS, GROUPS + 24)
    kernel.chains.pointers[EVENTS].append(Pointer(Unit(DATA.begin, 0, DATA), 0, 0))
    assert kernel.chains.unresolved(EVENTS) == {GROUPS}
    kernel.chains.pointers[GROUPS] = []
    assert kernel.chains.unresolved(EVENTS) == set()


def test_a_net_of_objects_ends_soon() -> None:
    """Each of 64 events is pointed at by 16 others: there are 16^8 paths."""
    kernel = Kernel()
    for number in range(64):
        for other in range(1, 17):
            place = EVENTS + 64 * ((number + other) % 64) + 8 * (other % 8)
            kernel.points(EVENTS + 64 * number, place)
    assert kernel.chain(EVENTS).worth == Held.POINTER
    assert kernel.asked < 50_000


def test_a_holder_at_the_end_of_a_long_way_is_found_beside_a_net() -> None:
    kernel = Kernel()
    for number in range(1, 20):
        for other in range(1, 17):
            kernel.points(EVENTS + 64 * number, EVENTS + 64 * (20 + (number + other) % 40))
    kernel.points(EVENTS, EVENTS + 64)
    kernel.points(EVENTS, GROUPS + 24)
    kernel.files.private[GROUPS] = FILE
    kernel.files.open[FILE] = [Fd("nginx (pid 812)", 5)]
    assert kernel.chain(EVENTS).worth == Held.PROCESS


def test_files_in_flight_are_held_by_the_process_that_may_receive_them() -> None:
    """Files, a list of them, the packet with the list, a socket, its file, and the descriptor of that."""
    kernel = Kernel()
    things, packet, sock, file = GROUPS, GROUPS + 256, GROUPS + 512, FILE
    files = [EVENTS + 64 * number for number in range(40)]
    for number, each in enumerate(files):
        kernel.points(each, things + 8 * (number % 32))
    kernel.points(things, packet + 24)
    kernel.owners |= {packet: (sock, "in the receive queue of"), sock: (file, "socket of")}
    kernel.files.open[file] = [Fd("nginx (pid 812)", 5)]
    chains = kernel.chains.all(files)
    assert {each.worth for each in chains.values()} == {Held.PROCESS}
    assert {len(each.steps) for each in chains.values()} == {5}


def test_places_for_data_hold_nothing() -> None:
    """Whether a place is one is asked with what points at the object that has it."""
    kernel, asked = Kernel(), []  # type: ignore[var-annotated]

    def is_data(unit: Unit, offset: int, by: Sequence[Pointer]) -> bool:
        asked.append((unit.begin, offset, [each.unit.begin for each in by]))
        return unit.begin == GROUPS

    kernel.chains._is_data = is_data
    kernel.points(EVENTS, GROUPS + 24)
    kernel.points(GROUPS, GROUPS + 256)
    assert kernel.chain(EVENTS) == Chain((), Held.NOTHING)
    assert (GROUPS, 24, [GROUPS + 256]) in asked
    kernel.points(EVENTS, GROUPS + 512)
    assert [each.address for each in kernel.chain(EVENTS).steps] == [GROUPS + 512]


def test_an_address_space_is_of_its_task_where_it_does_not_say_so_itself() -> None:
    kernel = Kernel()
    kernel.kinds |= {GROUPS: "address space", GROUPS + 256: "task"}
    kernel.files.spaces[GROUPS] = GROUPS + 256
    chain = kernel.chain(GROUPS)
    assert (chain.worth, chain.steps[0].relation) == (Held.PROCESS, "of the process")


def test_what_changed_while_it_was_read_is_neither_held_nor_lost() -> None:
    kernel = Kernel()
    kernel.chains.doubtful.add(EVENTS)
    assert kernel.chain(EVENTS).worth == Held.LISTED


def test_an_owner_that_is_no_object_is_only_something_that_points() -> None:
    kernel = Kernel()
    kernel.kinds[GROUPS] = "memory"
    kernel.owners[EVENTS] = (GROUPS, "entry of")
    assert kernel.chain(EVENTS).worth == Held.POINTER


def test_addresses_without_pointers_need_no_arrays() -> None:
    assert np.array([*Kernel().chains.all([])]).size == 0
