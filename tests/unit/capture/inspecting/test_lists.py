# SPDX-License-Identifier: Apache-2.0
"""From a link of a list or tree, in made-up memory, to its head or root."""

from __future__ import annotations

from slabtrace.capture.inspecting.lists import Lists
from tests.unit.capture.inspecting.made_up import BASE, Memory, cache, scene

MEMBERS, OWNERS = BASE + 0x4000, BASE + 0x8000
MEMBER, OWNER = cache(BASE + 0x100, "member", 64), cache(BASE + 0x200, "owner", 128)
LINK, HEAD = 16, 40


class Kernel:
    """Objects of 64 bytes with a link at 16, and owners of 128 bytes with a head at 40."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.scene = scene(self.memory, {}, (MEMBERS, MEMBER), (OWNERS, OWNER))
        self.lists = Lists(self.memory, self.scene.where)

    @staticmethod
    def link(number: int) -> int:
        return MEMBERS + 64 * number + LINK

    def chain(self, head: int, numbers: list[int], circular: bool = True) -> None:
        """A list_head, or (not circular) an hlist_head with its nodes."""
        places = [head, *map(self.link, numbers)]
        for at, before, after in zip(
            places, [places[-1], *places[:-1]], [*places[1:], head if circular else 0], strict=True
        ):
            self.memory.put(at, after)
            if at != head or circular:
                self.memory.put(at + 8, before)


def test_a_list_head_is_found_from_each_of_its_members() -> None:
    kernel = Kernel()
    kernel.chain(OWNERS + HEAD, [3, 1, 5])
    heads = [kernel.lists.head(kernel.link(each)) for each in (3, 1, 5)]
    assert [each and each.address for each in heads] == [OWNERS + HEAD] * 3
    assert [each and each.passed for each in heads] == [1, 2, 3]


def test_an_hlist_leads_to_its_head_though_it_ends_with_zero() -> None:
    kernel = Kernel()
    kernel.chain(OWNERS + HEAD, [2, 4], circular=False)
    head = kernel.lists.head(kernel.link(4))
    assert head is not None and head.address == OWNERS + HEAD


def test_a_head_in_no_slab_is_a_head_too() -> None:
    kernel = Kernel()
    kernel.chain(BASE + 0x1_0000, [0, 1])
    head = kernel.lists.head(kernel.link(1))
    assert head is not None and head.address == BASE + 0x1_0000


def test_a_circle_without_a_head_and_a_torn_list_have_none() -> None:
    kernel = Kernel()
    kernel.chain(kernel.link(0), [1, 2])  # its first member is all the head there is
    assert kernel.lists.head(kernel.link(2)) is None
    torn = Kernel()
    torn.chain(OWNERS + HEAD, [3, 1, 5])
    torn.memory.put(torn.link(3), 0x4242424242424242)  # does not lead to 1 any more
    assert torn.lists.head(torn.link(5)) is None


def test_a_circle_that_the_link_is_not_in_ends() -> None:
    kernel = Kernel()
    kernel.chain(kernel.link(0), [1, 2])
    kernel.memory.put(kernel.link(7) + 8, kernel.link(2))
    assert kernel.lists.head(kernel.link(7)) is None


def test_the_root_of_a_tree_is_found_and_colours_are_no_part_of_addresses() -> None:
    kernel = Kernel()
    root, left, leaf = map(kernel.link, (2, 0, 6))
    kernel.memory.put(root, 1, 0, left)  # parent and colour, right, left
    kernel.memory.put(left, root, leaf, 0)
    kernel.memory.put(leaf, left | 1, 0, 0)
    assert [kernel.lists.root(each) for each in (leaf, left, root)] == [root] * 3


def test_a_parent_that_does_not_have_the_node_is_no_parent() -> None:
    kernel = Kernel()
    kernel.memory.put(kernel.link(0), kernel.link(1), 0, 0)
    assert kernel.lists.root(kernel.link(0)) == 0
