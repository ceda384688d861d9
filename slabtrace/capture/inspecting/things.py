# SPDX-License-Identifier: Apache-2.0
"""What objects are, read twice: one that changed in between is not described.

Example: at the first reading the object is the dentry /tmp/a, at the second /tmp/b, because the memory was
freed and used again.  Then nothing is said of it but its cache, and that it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from slabtrace.capture.inspecting.kinds.catalogue import Catalogue
from slabtrace.capture.inspecting.kinds.kind import Scene
from slabtrace.capture.inspecting.use import FREE, UNREAD, SlabUse
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import UInt64


class Thing(NamedTuple):
    """An object: `kind` is "" if it is not known; `size` in bytes.

    `in_use`: False if it is free by now; None if that cannot be read.  `references` and `now`, which ends its
    description, may change while it is the same object.
    """

    address: int
    cache: str
    size: int
    in_use: bool | None
    kind: str
    text: str
    references: int | None
    now: str = ""

    @property
    def description(self) -> str:
        """All that is said of it but its kind."""
        return f"{self.text} {self.now}".strip()

    def is_same(self, other: Thing) -> bool:
        """Is it the same object, as far as one can see?"""
        return self._replace(references=None, now="") == other._replace(references=None, now="")


class Things:
    """Says what objects are.  `names_of(cache)`: its name and aliases."""

    def __init__(
        self,
        scene: Scene,
        catalogue: Catalogue,
        use: SlabUse,
        names_of: Callable[[SlabCache], list[str]],
        size_outside: Callable[[int], int],
    ) -> None:
        """`size_outside(address)`: of an object that is in no slab; 0 if it is not known."""
        self._scene, self._catalogue, self._use = scene, catalogue, use
        self._names_of, self._size_outside = names_of, size_outside

    def describe(self, addresses: UInt64) -> list[Thing]:
        """What each object is."""
        first, second = self._look(addresses), self._look(addresses)
        return [
            other if one.is_same(other) else other._replace(kind="", text="", references=None, now="")
            for one, other in zip(first, second, strict=True)
        ]

    def _look(self, addresses: UInt64) -> list[Thing]:
        self._scene.forget()
        states = self._use.states(addresses)
        found = {
            address: self._bare(address, state)
            for address, state in zip(addresses.tolist(), states.tolist(), strict=True)
        }
        for part in self._use.parts(addresses[states > FREE]):
            names = self._names_of(part.cache)
            for kind, some in self._catalogue.classify(self._scene, names, part.objects):
                said = kind.describe(self._scene, some)
                for address, each in zip(some.address.tolist(), said, strict=True):
                    found[address] = found[address]._replace(in_use=True, kind=kind.name, **each._asdict())
        return [found[each] for each in addresses.tolist()]

    def _bare(self, address: int, state: int) -> Thing:
        """What is known of an object without its words."""
        cache = self._scene.where.cache(address)
        in_use = None if state == UNREAD else state != FREE
        size = cache.object_size if cache else self._size_outside(address)
        return Thing(address, cache.name if cache else "", size, in_use, "", "", None)
