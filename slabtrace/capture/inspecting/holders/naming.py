# SPDX-License-Identifier: Apache-2.0
"""What holders are called: objects of slabs by their kind, their fields by the BTF, words of struct pages."""

from __future__ import annotations

import numpy as np

from slabtrace.capture.inspecting.holders.chains import Named
from slabtrace.capture.inspecting.holders.files import OpenFiles
from slabtrace.capture.inspecting.kinds.catalogue import Catalogue, struct_of
from slabtrace.capture.inspecting.kinds.kind import Scene
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.use import SlabUse
from slabtrace.capture.slabs.places import is_slab
from slabtrace.trace.format.batch import UInt64

_MOST_OWNERS = 4  # of an object, its owner, its owner's owner, … are found out together
_PRIVATE = {
    "[eventpoll]": "eventpoll", "inotify": "fsnotify_group", "[fanotify]": "fsnotify_group",
    "[io_uring]": "io_ring_ctx", "[eventfd]": "eventfd_ctx", "[timerfd]": "timerfd_ctx",
    "pipe": "pipe_inode_info",
}  # fmt: skip  # the structs that anonymous files and pipes have as private data


class Naming:
    """Finds out what objects are, as steps of chains.  What is known is not asked again until `forget`."""

    def __init__(self, machine: Machine, scene: Scene, catalogue: Catalogue, use: SlabUse) -> None:
        self._machine, self._scene, self._catalogue, self._use = machine, scene, catalogue, use
        self._named: dict[int, Named] = {}
        self._asked = set[int]()
        self.files: OpenFiles | None = None  # to know what is the private data of a file

    def forget(self) -> None:
        """Forget all."""
        self._named.clear()
        self._scene.forget()

    def named(self, address: int, _cache: int = 0) -> Named:
        """What an object is."""
        if address not in self._named:
            self.all(np.array([address], np.uint64))
        return self._named[address]

    def all(self, addresses: UInt64) -> None:
        """Find out what many objects are, and what their owners are, for `named`."""
        for _ in range(_MOST_OWNERS):
            self._some(addresses)
            named = (self._named[each] for each in addresses.tolist())
            owners = {each.owner[0] for each in named if each.owner is not None}
            addresses = np.array(sorted(owners - self._named.keys()), np.uint64)
            if not len(addresses):
                break

    def _some(self, addresses: UInt64) -> None:
        wanted = np.array(
            [each for each in np.unique(addresses).tolist() if each not in self._named], np.uint64
        )
        owners = self._scene.where.find(wanted)
        begins = dict(zip(wanted.tolist(), owners.object.tolist(), strict=True))
        for part in self._use.parts(np.unique(owners.object[owners.object != 0])):
            names = self._machine.names_of(part.cache)
            for kind, some in self._catalogue.classify(self._scene, names, part.objects):
                for address, said in zip(
                    some.address.tolist(), kind.describe(self._scene, some), strict=True
                ):
                    owner = kind.owner(self._scene, address)
                    struct = struct_of(names, kind)
                    known = owner and (owner.address, owner.relation)
                    self._named[address] = Named(kind.name, said.text, struct, known, said.now)
        for address, begin in begins.items():
            if address not in self._named:
                self._named[address] = self._named.get(begin) or self._unknown(begin or address)

    def _unknown(self, address: int) -> Named:
        cache = self._scene.where.cache(address)
        if cache is None:
            return Named("memory", f"at {address:#x}", "", None)
        struct = self._private_struct(address) or struct_of(self._machine.names_of(cache), None)
        return Named(struct or cache.name, "", struct, None)

    def _private_struct(self, address: int) -> str:
        """The struct of an object that an anonymous file has as its private data."""
        file = self.files.of_private(address) if self.files else 0
        if not file or file in self._asked:
            return ""
        self._asked.add(file)  # a file that is its own private data, by way of others, has no end
        text = self.named(file).text
        self._asked.discard(file)
        return _PRIVATE.get(text.removeprefix("anon_inode:").partition(":[")[0], "")

    def field(self, struct: str, offset: int) -> str:
        """The field at an offset of a struct, as "sock.sk_receive_queue.next"; "" if it is not known."""
        place = self._machine.fields.at(struct, offset) if struct else None
        return f"{struct}.{place.path}" if place else ""

    def kind_of(self, address: int) -> str:
        """What kind of thing an object is, or the name of its cache."""
        return self.named(address).kind

    def field_of(self, address: int, offset: int) -> str:
        """The field at an offset of an object; "" if it is not known."""
        return self.field(self.named(address).struct, offset)

    def page(self, place: int) -> tuple[str, int]:
        """What a word of a struct page is: of a slab, or of a page of an inode, whose address follows."""
        machine, layout = self._machine, self._scene.layout
        size = machine.shape.sizeof_page
        offset = (place - machine.vmemmap) % size
        page = place - offset
        words, _ = machine.memory.structs(np.array([page], np.uint64), size)
        if is_slab(machine.shape, words)[0]:
            cache = machine.caches.get(int(words[0, machine.slab_shape.slab_cache // 8]))
            return f"struct slab of {cache.name if cache else 'a cache'}, +{offset:#x}", 0
        inode = 0
        if layout.has("page.mapping", "address_space.host"):
            mapping = int(words[0, layout["page.mapping"] // 8])
            inode = self._scene.word(mapping, "address_space.host") if mapping and not mapping & 3 else 0
        field = machine.fields.at("page", offset)
        return f"struct page, {field.path if field else hex(offset)}", inode
