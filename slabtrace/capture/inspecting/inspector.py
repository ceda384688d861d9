# SPDX-License-Identifier: Apache-2.0
"""What some objects are and who holds them, on a machine whose memory can be read.

Memory is searched for the objects, then for their holders (`depth`).  What nothing points at is searched for
once more, in new slabs and in other pages of the kernel too: a pointer may have moved meanwhile, from what
was not read yet to what was.  At the end the chains are read again (holders/confirming.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from slabtrace.capture.inspecting.holders.areas import (
    area_pages,
    image_areas,
    kfence_areas,
    large_areas,
    page_areas,
    percpu_areas,
    stack_areas,
    vmalloc_areas,
)
from slabtrace.capture.inspecting.holders.chains import NAMED, NO_CHAIN, NOTHING, Chain, Chains
from slabtrace.capture.inspecting.holders.confirming import Confirming
from slabtrace.capture.inspecting.holders.data import DataPlaces
from slabtrace.capture.inspecting.holders.files import OpenFiles
from slabtrace.capture.inspecting.holders.keyrings import Keyrings
from slabtrace.capture.inspecting.holders.naming import Naming
from slabtrace.capture.inspecting.holders.search import Area, Targets, joined, search
from slabtrace.capture.inspecting.holders.units import Units
from slabtrace.capture.inspecting.in_use import Batch, InUse
from slabtrace.capture.inspecting.kinds.catalogue import Catalogue
from slabtrace.capture.inspecting.kinds.kind import Scene
from slabtrace.capture.inspecting.kinds.paths import MOUNTS, mount_points
from slabtrace.capture.inspecting.layout import Layout
from slabtrace.capture.inspecting.lists import Lists
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.memory import Bools, strings
from slabtrace.capture.inspecting.pace import Pace
from slabtrace.capture.inspecting.pages.others import OtherPages, Ranges
from slabtrace.capture.inspecting.pages.outside import Outside
from slabtrace.capture.inspecting.things import Thing, Things
from slabtrace.capture.inspecting.use import SlabUse
from slabtrace.capture.inspecting.where import Where
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import Int64, UInt64

_MOST_NAMED = 20_000  # holders that are looked at
_MOST_DEEPER = 4096  # objects that are searched for at each further depth
_AREAS = ("data", "percpu", "kmalloc", "kfence", "vmalloc", "stack", "page")
_NEEDED = {"data": "kernel data", "percpu": "per-CPU data", "vmalloc": "vmalloc areas",
           "stack": "kernel stacks", "page": "struct pages"}  # fmt: skip  # every kernel has some
OTHER = "other"
Range = tuple[str, UInt64, Int64]  # kind of memory, begins, bytes


@dataclass
class Searched:
    """Bytes that were searched, by kind of area.

    `whole`: everything was searched that was to be; `missing`: what could not be found on this kernel.
    `deep`: there was time for holders of holders, as far as was asked; `others`: for other kernel pages.
    """

    bytes: dict[str, int] = field(default_factory=dict)
    whole: bool = True
    deep: bool = True
    others: bool = True
    missing: list[str] = field(default_factory=list)

    def add(self, kind: str, searched: int, whole: bool) -> None:
        """Add what one search went through."""
        self.bytes[kind] = self.bytes.get(kind, 0) + searched
        self.whole &= whole


class Inspector:
    """Reads the machine's slabs once, then answers.  Not for several threads at once."""

    def __init__(self, machine: Machine, pace: Pace) -> None:
        self.machine, self.pace = machine, pace
        layout = Layout(machine.fields)
        self.pages = machine.pages(pace.go_on)
        self.where = Where(self.pages.slabs, machine.caches)
        mounts = mount_points(MOUNTS.read_text(errors="backslashreplace"))
        self.scene = Scene(machine.memory, layout, self.where, mounts=mounts)
        self.catalogue = Catalogue(layout, machine.pins)
        self._outside = Outside(machine.memory, machine.page_scan(), range(machine.base, machine.end))
        self._outside.renew(self.pages)
        place = machine.slab_shape.slab_cache
        self.use = SlabUse(
            machine.memory, self.where, machine.caches, self.in_use, place, self._outside.states
        )
        self._things = Things(self.scene, self.catalogue, self.use, machine.names_of, self._outside.size)
        self._naming = Naming(machine, self.scene, self.catalogue, self.use)
        self._in_use: dict[int, InUse] = {}

    def in_use(self, cache: SlabCache) -> InUse:
        """Reads the slabs of a cache; ValueError for one whose lists cannot be read."""
        if cache.address not in self._in_use:
            self._in_use[cache.address] = self.machine.in_use(cache)
        return self._in_use[cache.address]

    def batches(self, cache: SlabCache, go_on: Callable[[], bool] | None = None) -> Iterator[Batch]:
        """All slabs of a cache; none where its lists cannot be read."""
        try:
            reader = self.in_use(cache)
        except ValueError:
            return
        mine = self.pages.slabs.cache == np.uint64(cache.address)
        yield from reader.batches(self.pages.slabs.take(mine), go_on or self.pace.go_on)

    def _of_name(self, name: str) -> Iterator[Objects]:
        """The objects in use of the cache with this name, or alias; copies."""
        for cache in self.machine.caches.values():
            if name in self.machine.names_of(cache):
                for batch in self.batches(cache):
                    yield batch.objects()

    def all_of(self, name: str) -> Objects:
        """The objects in use of the cache with this name, or alias; copies."""
        parts = [*self._of_name(name)]
        if not parts:
            return Objects(np.empty(0, np.uint64), np.empty((0, 0), np.uint64))
        return Objects(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def kind_objects(self, name: str) -> UInt64:
        """Addresses of the objects in use of the first kind that the cache with this name may have."""
        kinds = self.catalogue.of_names([name])
        if not kinds:
            return np.empty(0, np.uint64)
        parts = (
            each.address[kinds[0].looks(self.scene, each)]
            for each in self._of_name(name)
            if len(each.address)
        )
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def things(self, addresses: UInt64) -> list[Thing]:
        """What the objects are; each is read twice, and one that changed meanwhile is not described."""
        return self._things.describe(addresses)

    def _prepare(self) -> None:
        """Read the indexes: tasks, open files, keyrings; and where to search."""
        tasks, files = self.kind_objects("task_struct"), self.kind_objects("filp")
        open_files = self._naming.files = OpenFiles(self.scene, tasks, files)
        open_files.register(self._rings(files))
        keyrings = Keyrings(self.scene, self.kind_objects("key_jar"))
        self._maps = self.all_of("vmap_area")
        self.areas = self._all_areas(tasks)
        self._units = Units(self.machine.memory, self.where, self.use, self.areas, self._sheaves)
        lists = Lists(self.machine.memory, self.where, self.pace.go_on)
        indexes = open_files, keyrings, self._units, lists
        naming = self._naming
        data = DataPlaces(naming, self.scene.layout, self.machine.memory.word)
        self._chains = Chains(naming.named, naming.field, *indexes, naming.page, data.has)

    def _renew(self) -> None:
        """Find the slabs again, new ones too."""
        self.pages = self.machine.pages(self.pace.go_on)
        self.where.renew(self.pages.slabs, self.machine.caches)
        self._outside.renew(self.pages)

    def _sheaves(self, objects: UInt64) -> Bools:
        """Which objects are sheaves of the allocator (6.18).

        Behind its last free object a sheaf still has the addresses of earlier ones, which are in use again.
        It names its cache.
        """
        if not self.scene.layout.has("slab_sheaf.cache", "slab_sheaf.objects"):
            return np.zeros(len(objects), np.bool_)
        caches = self.scene.words(objects, "slab_sheaf.cache")
        found: Bools = np.isin(caches, np.array([*self.machine.caches], np.uint64))
        return found

    def _rings(self, files: UInt64) -> UInt64:
        """Those of the files that are io_uring instances, by the name of their anonymous inode."""
        if not self.scene.layout.has("file.f_path.dentry", "dentry.d_name.name"):
            return files[:0]
        dentries = self.scene.words(files, "file.f_path.dentry")
        names = strings(self.scene.memory, self.scene.words(dentries, "dentry.d_name.name"), 16)
        return files[np.array([name == "[io_uring]" for name in names], np.bool_)]

    def _all_areas(self, tasks: UInt64) -> list[Area]:
        machine = self.machine
        areas = image_areas(machine.physical, machine.base)
        areas += percpu_areas(machine.percpu.bases, machine.percpu_section())
        areas += page_areas(machine.physical.ram, machine.base, machine.vmemmap, machine.shape.sizeof_page)
        areas += stack_areas(self.scene, tasks)
        areas += large_areas(self.pages) + kfence_areas(self.pages, machine.caches)
        found = len(self._maps.address)
        return areas + (vmalloc_areas(self.scene, self._maps, machine.kallsyms) if found else [])

    def kinds_by_holder(self) -> dict[int, str]:
        """The kinds of objects that only their holders tell, after `holders`."""
        return {address: kind for address, kind in self._chains.kinds.items() if kind}

    def holders(self, addresses: UInt64, depth: int = 2) -> tuple[dict[int, Chain], Searched]:
        """The best chain of each object; `depth`: how often memory is searched, for holders of holders."""
        self._prepare()
        self._naming.all(addresses)
        searched, wanted = self._searched(), np.unique(addresses)
        chains: dict[int, Chain] = {}
        for level in range(depth):
            if not len(wanted):
                break
            if level and not self.pace.go_on():
                searched.deep = False
                break
            this = searched if level == 0 else Searched()
            self._search(wanted, this, self._ranges())
            searched.deep &= level == 0 or this.whole
            poor = [each for each in addresses.tolist() if chains.get(each, NO_CHAIN).worth < NAMED]
            chains |= self._chains.all(poor)
            wanted = self._deeper(addresses, chains) if level + 1 < depth else addresses[:0]
        chains |= self._again([each for each, chain in chains.items() if chain.worth == NOTHING], searched)
        is_object = lambda address: self.where.one(address)[0] != 0  # noqa: E731
        return Confirming(self._naming, self.use, self._chains, is_object).confirmed(chains), searched

    def _searched(self) -> Searched:
        there = {each.kind for each in self.areas if each.length > 0}
        missing = [name for kind, name in _NEEDED.items() if kind not in there]
        return Searched(whole=self.pages.whole and not missing, missing=missing)

    def _again(self, lost: list[int], searched: Searched) -> dict[int, Chain]:
        """Search once more for what nothing points at.  If there is no time for that, nothing is lost."""
        if not lost or not searched.whole:
            return {}
        self._renew()
        second = Searched(whole=self.pages.whole)
        wanted = np.array(sorted(lost), np.uint64)
        self._search(wanted, second, self._ranges())
        searched.whole &= second.whole
        others = Searched()
        if searched.whole and (ranges := self._others()) is not None:
            self._search(wanted, others, [(OTHER, ranges.begin, ranges.length)])
            others.whole &= ranges.whole
            searched.bytes |= others.bytes
            searched.others = others.whole
        else:
            searched.others = False
        if self.machine.large is None:  # a large kmalloc is such a page
            searched.whole &= searched.others
        return self._chains.all(lost)

    def _others(self) -> Ranges | None:
        machine, pages = self.machine, area_pages(self.scene, self._maps)
        if machine.others is None or pages is None:
            return None
        scan = OtherPages(machine.memory, machine.others, machine.shape.sizeof_page, machine.vmemmap)
        return scan.ranges(machine.physical.ram, machine.base, pages, self.pace.go_on)

    def _deeper(self, addresses: UInt64, chains: dict[int, Chain]) -> UInt64:
        """What has to be searched for next: holders of objects whose chain does not say enough yet."""
        ends = set[int]()
        for address in addresses.tolist():
            chain = chains.get(address, NO_CHAIN)
            if chain.worth < NAMED:
                ends |= self._chains.unresolved(address)
                for step in chain.steps:
                    ends |= self._chains.unresolved(step.address)
            if len(ends) > _MOST_DEEPER:
                break
        return np.array(sorted(ends)[:_MOST_DEEPER], np.uint64)

    def _search(self, wanted: UInt64, searched: Searched, ranges: Iterable[Range]) -> None:
        """Search for objects.  What was found of them before is kept."""
        targets = Targets(wanted, np.array([self._size(each) for each in wanted.tolist()], np.int64))
        parts = []
        for kind, begin, length in ranges:
            found = search(self.machine.memory, targets, begin, length, self.pace.go_on)
            searched.add(kind, found.searched, found.whole)
            parts.append(found.hits)
        pointers = self._units.pointers(joined(parts), targets.begin)
        ends = {each.unit.begin for some in pointers.found.values() for each in some if each.unit.cache}
        self._naming.all(np.array(sorted(ends)[:_MOST_NAMED], np.uint64))
        self._chains.doubtful |= pointers.doubtful
        for address in wanted.tolist():
            known = self._chains.pointers.get(address, [])
            self._chains.pointers[address] = known + pointers.found.get(address, [])

    def _size(self, address: int) -> int:
        """Bytes of an object; of one that is not known a word."""
        cache = self.where.cache(address)
        return cache.object_size if cache else self._outside.size(address) or 8

    def _ranges(self) -> Iterator[Range]:
        yield "slab", self.pages.slabs.memory, self.where.length
        for kind in _AREAS:
            some = [each for each in self.areas if each.kind == kind and each.length > 0]
            yield kind, np.array([each.begin for each in some], np.uint64), \
                np.array([each.length for each in some], np.int64)  # fmt: skip


__all__ = ["Inspector", "Searched", "Thing"]
