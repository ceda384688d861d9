# SPDX-License-Identifier: Apache-2.0
"""The census of a live machine: objects in use by cache, by charged cgroup, by what they are, with holders.

The counts are those of the allocator's own lists: parked objects and free ones are not counted.  Nothing is
locked, so the counts of different caches are of different moments.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slabtrace.capture.inspecting.allocinfo import ALLOCINFO, Allocation, parse
from slabtrace.capture.inspecting.answers import ObjectRow, rows
from slabtrace.capture.inspecting.in_use import Batch
from slabtrace.capture.inspecting.inspector import Inspector
from slabtrace.capture.inspecting.kinds.kind import Kind
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.pace import Pace
from slabtrace.capture.slabs.charge_shape import ChargeShape
from slabtrace.capture.slabs.charges import InUse, SlabCharges, cgroup_of, path_of
from slabtrace.capture.slabs.walk import SlabCache

MOST_GROUPS = 2000  # of descriptions, in the result
_KEPT = 50_000  # groups of one kind that are counted apart while reading
_SAMPLED = 16  # objects of each of the largest groups whose holders are looked for
_NOT_KNOWN = ""


class CacheCount(NamedTuple):
    """Objects in use of a cache; `slab_bytes`: of all its slabs; `unread`: slabs that changed too fast."""

    cache: str
    aliases: tuple[str, ...]
    objects: int
    bytes: int
    slab_bytes: int
    unread: int


class CgroupCount(NamedTuple):
    """Objects in use that are charged to a memory cgroup; "" is none."""

    cgroup: str
    objects: int
    bytes: int


class GroupCount(NamedTuple):
    """Objects of a kind with one description; of kind "" are those that are only known by their cache."""

    kind: str
    group: str
    cache: str
    objects: int
    bytes: int


@dataclass
class Census:
    """Everything that was counted.  Sizes in bytes, times in seconds."""

    caches: list[CacheCount] = field(default_factory=list)
    cgroups: list[CgroupCount] = field(default_factory=list)
    groups: list[GroupCount] = field(default_factory=list)
    sample: list[ObjectRow] = field(default_factory=list)
    sampled: dict[int, int] = field(default_factory=dict)  # the object's address: its group's number
    allocations: list[Allocation] = field(default_factory=list)
    searched: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    whole: bool = True
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def plain(self) -> dict[str, Any]:
        """As dictionaries and lists."""
        named = {
            name: [each._asdict() for each in getattr(self, name)]
            for name in ("caches", "cgroups", "groups", "allocations")
        }
        sample = [{**row._asdict(), "group": self.sampled.get(row.ptr, -1)} for row in self.sample]
        others = {
            key: value for key, value in asdict(self).items() if key not in (*named, "sample", "sampled")
        }
        return {**named, "sample": sample, **others}


@dataclass
class _Group:
    objects: int
    kind: Kind
    examples: list[int]


class Counting:
    """Counts, cache by cache."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self.census = Census(memory_bytes=inspector.machine.physical.total, whole=inspector.pages.whole)
        self._groups: dict[tuple[str, tuple[int, ...], str, int], _Group] = {}
        self._charged: dict[int, list[int]] = {}
        self._crowded = set[tuple[str, str]]()
        charges, machine = inspector.machine.charges, inspector.machine
        self._charges = None
        if isinstance(charges, ChargeShape):
            self._cgroup_shape = charges.cgroup
            self._charges = SlabCharges(
                machine.walk, machine.memory, charges, machine.vmemmap, machine.shape.sizeof_page
            )
        else:
            self.census.notes.append(charges)

    def count(self, top: int, depth: int) -> Census:
        """Count everything, then look for the holders of some of the `top` largest groups."""
        caches = self._inspector.machine.caches.values()
        for cache in sorted(caches, key=lambda each: each.name):
            self._cache(cache)
        self._name_cgroups()
        self._name_groups(top, depth)
        census, pace = self.census, self._inspector.pace
        census.whole &= pace.go_on()
        census.allocations = allocations()
        census.seconds, census.cpu_seconds = pace.elapsed_s, pace.cpu_s
        return census

    def _cache(self, cache: SlabCache) -> None:
        machine, slabs = self._inspector.machine, self._inspector.pages.slabs
        mine = slabs.cache == np.uint64(cache.address)
        whole = int(slabs.objects[mine].sum()) * cache.size
        objects, unread, names = 0, 0, machine.names_of(cache)
        seen = 0
        for batch in self._inspector.batches(cache):
            seen += len(batch.known)
            objects += int((batch.in_use & batch.known[:, None]).sum())
            unread += int((~batch.known).sum())
            self._describe(cache, names, batch)
            self._charge(cache, batch)
        if mine.any():
            unread += int(mine.sum()) - seen
            self.census.whole &= seen == int(mine.sum())
            row = CacheCount(cache.name, tuple(names[1:]), objects, objects * cache.size, whole, unread)
            self.census.caches.append(row)

    def _describe(self, cache: SlabCache, names: list[str], batch: Batch) -> None:
        inspector, objects = self._inspector, batch.objects()
        known = 0
        for kind, some in inspector.catalogue.classify(inspector.scene, names, objects):
            keys, which, counts = np.unique(
                kind.groups(inspector.scene, some), axis=0, return_index=True, return_counts=True
            )
            examples = some.address[which].tolist()
            for key, example, count in zip(keys.tolist(), examples, counts.tolist(), strict=True):
                self._add(kind, tuple(key), cache, count, example)
            known += len(some.address)
        if known < len(objects.address):
            rest = len(objects.address) - known
            self._add(_Unknown(), (), cache, rest, int(objects.address[0]) if not known else 0)

    def _add(self, kind: Kind, key: tuple[int, ...], cache: SlabCache, count: int, example: int) -> None:
        crowd = kind.name, cache.name
        if (kind.name, key, cache.name, cache.size) not in self._groups and crowd in self._crowded:
            key = ()
        group = self._groups.setdefault((kind.name, key, cache.name, cache.size), _Group(0, kind, []))
        group.objects += count
        if example and len(group.examples) < _SAMPLED:
            group.examples.append(example)
        if len(self._groups) > _KEPT:
            self._crowded.add(crowd)

    def _charge(self, cache: SlabCache, batch: Batch) -> None:
        pace = self._inspector.pace
        if self._charges is None or not pace.go_on():
            return
        slabs = [
            InUse(memory + batch.pad, cache.address, batch.stride, bits[:count])
            for memory, bits, count, known in zip(
                batch.slabs.memory.tolist(), batch.in_use, batch.slabs.objects.tolist(),
                batch.known.tolist(), strict=True,
            ) if known and bits.any()
        ]  # fmt: skip
        found = [each.objcg for each in self._charges.read(slabs)]
        if found:
            objcg, counts = np.unique(np.concatenate(found), return_counts=True)
            for number, count in zip(objcg.tolist(), counts.tolist(), strict=True):
                total = self._charged.setdefault(number, [0, 0])
                total[0] += count
                total[1] += count * cache.size

    def _name_cgroups(self) -> None:
        walk, by_name = self._inspector.machine.walk, dict[str, list[int]]()
        for objcg, (objects, size) in self._charged.items():
            cgroup = cgroup_of(walk, self._cgroup_shape, objcg) if objcg else None
            path = path_of(walk, self._cgroup_shape, cgroup.node) if cgroup else ""
            total = by_name.setdefault(path, [0, 0])
            total[0] += objects
            total[1] += size
        counts = [CgroupCount(name, objects, size) for name, (objects, size) in by_name.items()]
        self.census.cgroups = sorted(counts, key=lambda each: -each.bytes)

    def _name_groups(self, top: int, depth: int) -> None:
        largest = heapq.nlargest(
            MOST_GROUPS, self._groups.items(), key=lambda each: each[1].objects * each[0][3]
        )
        merged: dict[tuple[str, str, str], list[int]] = {}
        examples: dict[tuple[str, str, str], list[int]] = {}
        for (kind, key, cache, size), group in largest:
            name = self._group_name(group.kind, key)
            total = merged.setdefault((kind, name, cache), [0, 0])
            total[0] += group.objects
            total[1] += group.objects * size
            examples.setdefault((kind, name, cache), []).extend(group.examples)
        rest = len(self._groups) - len(largest)
        if rest:
            self.census.notes.append(f"{rest} small groups are not listed")
        counts = [GroupCount(*key, *total) for key, total in merged.items()]
        self.census.groups = sorted(counts, key=lambda each: -each.bytes)
        if top:
            self._sample(top, depth, examples)

    def _group_name(self, kind: Kind, key: tuple[int, ...]) -> str:
        """The name of a group, twice the same; what it is named by may go while it is read."""
        if not key:
            return _NOT_KNOWN
        scene = self._inspector.scene
        first = kind.group_name(scene, key)
        return first if first else _NOT_KNOWN

    def _sample(self, top: int, depth: int, examples: dict[tuple[str, str, str], list[int]]) -> None:
        inspector, census = self._inspector, self.census
        chosen: dict[int, int] = {}
        for number, each in enumerate(census.groups[:top]):
            for address in examples[each.kind, each.group, each.cache][:_SAMPLED]:
                chosen.setdefault(address, number)
        addresses = np.array(sorted(chosen), np.uint64)
        if not len(addresses) or not inspector.pace.go_on():
            return
        chains, searched = inspector.holders(addresses, depth)
        things = inspector.things(addresses)
        census.sample = rows(things, chains, inspector.kinds_by_holder())
        census.sampled, census.searched = chosen, searched.bytes
        census.whole &= searched.whole and searched.deep
        if searched.missing:
            census.notes.append(f"this kernel does not say where these are: {', '.join(searched.missing)}")


class _Unknown(Kind):
    """Objects of which only the cache is known."""


def allocations(path: Path = ALLOCINFO, most: int = 50) -> list[Allocation]:
    """What the kernel's own memory allocation profiling says, most bytes first; [] without it."""
    try:
        return heapq.nlargest(most, _lines(path), key=lambda each: each.bytes)
    except OSError:
        return []


def _lines(path: Path) -> Iterator[Allocation]:
    yield from parse(path.read_text(errors="backslashreplace"))


def take(within: float, cpu: float, top: int, depth: int) -> Census:
    """The census of this machine, within so many seconds and that share of a CPU.  Raises CaptureError."""
    machine = Machine.opened()
    try:
        return Counting(Inspector(machine, Pace(within, cpu))).count(top, depth)
    finally:
        machine.close()
