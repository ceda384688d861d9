# SPDX-License-Identifier: Apache-2.0
"""A kind of object: how objects of a cache are recognised as such, described, grouped, and who owns them.

Nothing is believed because of the cache alone: caches merge, and memory is re-used.  `looks` tests what an
object has in itself and in what it points to; whoever describes it reads it again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.layout import Layout
from slabtrace.capture.inspecting.lists import Lists
from slabtrace.capture.inspecting.memory import Bools, Memory
from slabtrace.capture.inspecting.where import Where
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.trace.format.batch import Int64, UInt64

KERNEL = np.uint64(1 << 63)  # addresses of the kernel are above


class Described(NamedTuple):
    """What an object is; `references`: its reference count, None where the kind has none.

    `now`: what may change while it stays the same object, as "(3 in its receive queue)".
    """

    text: str
    references: int | None = None
    now: str = ""


class Owner(NamedTuple):
    """What owns an object by the object's own fields: the address of the owner, and how it does."""

    address: int
    relation: str


@dataclass
class Scene:
    """What kinds read from.  `image`: the addresses of the kernel's image and modules; `mounts`: mount
    points by device number.  `paths`, `nodes` and `supers` are what was read already."""

    memory: Memory
    layout: Layout
    where: Where
    image: tuple[int, int] = (0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_FFFF_FFFF)
    mounts: dict[int, str] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    nodes: dict[int, tuple[int, str]] = field(default_factory=dict)
    supers: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lists = Lists(self.memory, self.where)

    def forget(self) -> None:
        """Forget what was read of names, which change."""
        for known in (self.paths, self.nodes, self.supers):
            known.clear()
        self.lists = Lists(self.memory, self.where)

    def in_image(self, values: UInt64) -> Bools:
        """Which of the values are addresses in the kernel's image or in modules."""
        begin, end = (np.uint64(each) for each in self.image)
        inside: Bools = (values >= begin) & (values < end)
        return inside

    def words(self, address: UInt64, name: str) -> UInt64:
        """The word of the field `name` of the structs at these addresses; 0 where unreadable."""
        return self.memory.structs(address + np.uint64(self.layout[name]), 8)[0][:, 0]

    def word(self, address: int, name: str) -> int:
        """As `words`, of one."""
        return self.memory.word(address + self.layout[name]) if address else 0

    def half(self, address: int, name: str) -> int:
        """The unsigned 32 bits of a field; 0 if unreadable."""
        return part(self, address, name, 4)


def part(scene: Scene, address: int, name: str, width: int) -> int:
    """An unsigned field of `width` bytes; 0 if unreadable."""
    if not address:
        return 0
    place = address + scene.layout[name]
    raw = b"".join(scene.memory.word(at).to_bytes(8, "little") for at in range(place & ~7, place + width, 8))
    return int.from_bytes(raw[place % 8 : place % 8 + width], "little")


class Kind:
    """One kind.  `needs`: the fields without which this kernel's objects of the kind are not known."""

    name = ""
    struct = ""
    caches: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def available(self, layout: Layout) -> bool:
        """Does this kernel have what is needed?"""
        return layout.has(*self.needs)

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """Which of the objects look like ones of this kind, shape (n,)."""
        raise NotImplementedError

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """What each object is."""
        raise NotImplementedError

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """What objects are counted by in a census, shape (n, k)."""
        return np.zeros((len(objects.address), 1), np.uint64)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """What a group is called."""
        return ""

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """What owns the object at this address, by its own fields; None: they do not say."""
        return None


def narrow(objects: Objects, offset: int, width: int) -> Int64:
    """An unsigned field of 1, 2 or 4 bytes, naturally aligned, of each object, shape (n,)."""
    dtype = {1: np.uint8, 2: np.uint16, 4: np.uint32}[width]
    column: NDArray[np.generic] = np.ascontiguousarray(objects.words).view(dtype)[:, offset // width]
    return column.astype(np.int64)


def fits(objects: Objects, *offsets: int) -> bool:
    """Are the objects long enough to have words at these offsets?"""
    return bool(objects.words.shape[1] * 8 >= max(offsets) + 8)


def none(objects: Objects) -> Bools:
    """No object."""
    return np.zeros(len(objects.address), np.bool_)
