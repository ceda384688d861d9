# SPDX-License-Identifier: Apache-2.0
"""Lists and trees that objects are linked in: from an object back to the head, or to the root.

list_head and hlist_node both have a second word that leads to the link before, of which the first word must
lead forth again.  The head is the first link that is not at the same place of an object of the same cache:

    head H in S    object A +16      object B +16
    next: A+16     next: B+16        next: H          from B: A+16, then H, which is in S
    prev: B+16     prev: H           prev: A+16

An rb_node leads to its parent with its first word, whose two lowest bits are flags; the root has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from slabtrace.capture.inspecting.memory import Memory
from slabtrace.capture.inspecting.where import Where

MOST_LINKS = 20_000  # followed of one list; a longer list, or a circle, has no head
_COLOUR = 3


class Head(NamedTuple):
    """Where a list begins: the address of the head; how many links were passed on the way."""

    address: int
    passed: int


class Lists:
    """Follows links, while `go_on()` is true; what was passed once is known."""

    def __init__(self, memory: Memory, where: Where, go_on: Callable[[], bool] = lambda: True) -> None:
        self._memory, self._where, self._go_on = memory, where, go_on
        self._heads: dict[int, Head | None] = {}

    def forget(self) -> None:
        """Forget what was passed, to read it again."""
        self._heads.clear()

    def head(self, link: int) -> Head | None:
        """The head of the list that a link (by its address) is in; None if it is in no list."""
        home = self._home(link)
        passed, at = list[int](), link
        while at not in self._heads:
            passed.append(at)
            before = self._word(at + 8)
            consistent = before and self._word(before) == at
            if not consistent or len(passed) > MOST_LINKS or before == link or not self._go_on():
                return self._remember(passed, None)
            if self._home(before) != home:
                return self._remember(passed, Head(before, 0))
            at = before
        return self._remember(passed, self._heads[at])

    def _remember(self, passed: list[int], head: Head | None) -> Head | None:
        for number, each in enumerate(reversed(passed), 1):
            self._heads[each] = head and Head(head.address, head.passed + number)
        return self._heads[passed[0]] if passed else head

    def root(self, link: int) -> int:
        """The rb_node at the root of the tree that an rb_node is in; 0 if it is in none."""
        home, at = self._home(link), link
        for _ in range(64):
            parent = self._word(at) & ~_COLOUR
            if not parent:
                return at
            if self._home(parent) != home or at not in (self._word(parent + 8), self._word(parent + 16)):
                return 0
            at = parent
        return 0

    def _home(self, address: int) -> tuple[int, int]:
        """The cache and the offset in the object; (0, 0) outside of slabs."""
        begin, cache = self._where.one(address)
        return (cache, address - begin) if begin else (0, 0)

    def _word(self, address: int) -> int:
        return self._memory.word(address)
