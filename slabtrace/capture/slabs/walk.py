# SPDX-License-Identifier: Apache-2.0
"""Read the slab allocator's memory: every kmem_cache, slabs, and where the array of struct pages begins.

The `peek` program (bpf/peek.h) reads kernel memory, so no /proc/kcore, no kernel headers and no data symbols
are needed.  All offsets come from BTF (kernel/features.py).
"""

from __future__ import annotations

import os
import struct
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from slabtrace.capture.kernel.features import KernelShape
from slabtrace.capture.programs.layout import header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.errors import CaptureError

PAGE_SIZE = 4096
_U64 = 1 << 64
_KERNEL_IMAGE = 0xFFFF_FFFF_8000_0000  # text and data on x86-64; caches are in the direct map below
_HALF_4_LEVELS = 0xFFFF_8000_0000_0000  # where the kernel's half begins: Documentation/arch/x86/x86_64/mm.rst
_HALF_5_LEVELS = 0xFF00_0000_0000_0000
_TRIES = 5
VMEMMAP_SYMBOLS = ("vmemmap_base", "page_offset_base")  # arch/x86/kernel/head64.c
_MAX_CACHES = 20_000  # a bound, because the list may change while it is read
_SYS_SLAB = Path("/sys/kernel/slab")


@dataclass(frozen=True)
class SlabCache:
    """One struct kmem_cache, read from kernel memory.  Sizes in bytes.

    `identity`: its address, or more if others were there before it (known_caches.py); 0: not known yet.
    """

    address: int
    name: str
    object_size: int
    size: int
    slab_flags: int
    order: int
    objects_per_slab: int
    red_left_pad: int
    reclaimable: bool  # SLAB_RECLAIM_ACCOUNT: the kernel can shrink it under memory pressure
    identity: int = 0


class SlabPlace(NamedTuple):
    """A slab: the addresses of its struct slab, of its first byte, and of its kmem_cache."""

    struct: int
    memory: int
    cache: int


class _PartialSlab(NamedTuple):
    """A slab by its struct page, an address in it, its cache, and the `vmemmap` that follows."""

    page: int
    freelist: int
    cache: int
    vmemmap: int


def kernel_half(known: int) -> int:
    """Where the kernel's half of the address space begins, by a `known` address in it."""
    return _HALF_4_LEVELS if known >= _HALF_4_LEVELS else _HALF_5_LEVELS


class SlabWalk:
    """Reads kernel memory through the `peek` program."""

    def __init__(self, programs: Programs, shape: KernelShape) -> None:
        self._peek = programs.runner("peek", 2)
        self._shape = shape
        dtype = struct_dtype("peek.h", "peeked")
        peeked = programs.mapped("peeked", dtype, 1)
        self._status, self._bytes = peeked["status"], peeked["bytes"][0]
        self._limit = header_numbers("peek.h")["PEEK_BYTES"]
        self._one_at_a_time = threading.Lock()  # the program has one buffer for what it reads
        self._begin = _HALF_4_LEVELS

    def read(self, address: int, length: int) -> bytes | None:
        """`length` (at most PEEK_BYTES) bytes of kernel memory, or None where nothing can be read.

        A word of a freed object may be no address at all.  The CPU faults on one that is in neither half, and
        where the kernel takes it for one (5.10 on a CPU with 5 levels of page tables that uses 4) it warns.
        """
        address %= _U64
        if address < self._begin:
            return None
        with self._one_at_a_time:
            self._peek.run(address, min(length, self._limit))
            if self._status[0] != 0:
                return None
            return bytes(self._bytes[:length])

    def read_long(self, address: int, length: int) -> bytes | None:
        """As `read`, of any length."""
        parts = [
            self.read(address + start, min(self._limit, length - start))
            for start in range(0, length, self._limit)
        ]
        return None if None in parts else b"".join(part for part in parts if part is not None)

    def u64(self, address: int) -> int:
        """A word of kernel memory, 0 if unreadable."""
        raw = self.read(address, 8)
        return int(struct.unpack("<Q", raw)[0]) if raw else 0

    def u32(self, address: int) -> int:
        """Half a word of kernel memory, 0 if unreadable."""
        raw = self.read(address, 4)
        return int(struct.unpack("<I", raw)[0]) if raw else 0

    def string(self, address: int, limit: int = 128) -> str:
        """A NUL-terminated string, cut at `limit` bytes; "" if unreadable."""
        raw = self.read(address, limit) or b""
        return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")

    def cache(self, address: int) -> SlabCache | None:
        """Read one struct kmem_cache; None if there is none at that address."""
        fields = self._shape.cache_fields
        raw = self.read(address, max(v for k, v in fields.items() if k != "node") + 16)
        if raw is None:
            return None

        def u32(name: str) -> int:
            return int(struct.unpack_from("<I", raw, fields[name])[0])

        name = self.string(struct.unpack_from("<Q", raw, fields["name"])[0])
        oo = u32("oo")  # order in the upper, objects in the lower 16 bits (struct kmem_cache_order_objects)
        if not name or not 0 < u32("size") < 1 << 24:
            return None
        return SlabCache(
            address=address,
            name=name,
            object_size=u32("object_size"),
            size=u32("size"),
            slab_flags=u32("flags"),
            order=oo >> 16,
            objects_per_slab=oo & 0xFFFF,
            red_left_pad=u32("red_left_pad"),
            reclaimable=bool(u32("flags") & self._shape.reclaim_account),
        )

    def all_caches(self, any_cache: int) -> list[SlabCache]:
        """Every kmem_cache, found by following slab_caches from any one of them.

        The head of the list is no cache; it is recognised by its address, which is in the kernel image.
        Caches may be created and destroyed meanwhile; a link that cannot be read ends the walk.
        """
        self._begin = kernel_half(any_cache)
        link = self._shape.cache_fields["list"]
        found: list[SlabCache] = []
        node = any_cache + link
        for _ in range(_MAX_CACHES):
            cache = self.cache(node - link) if node < _KERNEL_IMAGE else None
            if cache is not None:
                found.append(cache)
            node = self.u64(node)
            if node in (0, any_cache + link):
                break
        return found

    def slab_at(self, vmemmap: int, page: int) -> SlabPlace | None:
        """The slab that the page at this address belongs to; None if it is of no slab (bpf/cache_of.h)."""
        shape = self._shape
        address = head = (vmemmap + page // PAGE_SIZE * shape.sizeof_page) % _U64
        raw = self.read(address, shape.sizeof_page) or b""
        word = int(struct.unpack_from("<Q", raw, shape.compound_head)[0]) if raw else 0
        if word & 1:
            masked = shape.compound_masked and word >= 0xFFFF_FFFF_0000_0000
            head = address & word if masked else word - 1
            raw = self.read(head, shape.sizeof_page) or b""
        test = struct.unpack_from("<I", raw, shape.slab_page.offset)[0] if raw else 0
        if test & shape.slab_page.mask != shape.slab_page.value:
            return None
        (cache,) = struct.unpack_from("<Q", raw, shape.slab_cache)
        return SlabPlace(head, page + (head - address) // shape.sizeof_page * PAGE_SIZE, cache)

    def find_vmemmap(self, caches: list[SlabCache], *symbols: int) -> int:
        """The number `vmemmap` (learn_vmemmap), confirmed; 0: not known.  `symbols`: see vmemmap_of_symbols.

        Slabs and caches change while they are read, so it is tried several times.
        """
        for _ in range(_TRIES):
            for number in (self.learn_vmemmap(caches), self.vmemmap_of_symbols(*symbols)):
                if number and self.confirms(number, caches):
                    return number
            caches = [cache for cache in caches if self.cache(cache.address) == replace(cache, identity=0)]
        return 0

    def learn_vmemmap(self, caches: list[SlabCache]) -> int:
        """The number `vmemmap` in: struct page of ptr = vmemmap + (ptr >> 12) * sizeof(struct page).

        A partial slab is linked by its struct page, and its freelist is an address in the slab: together
        they give the number, if the slab has the order that its cache prefers.  (Where memory is short, a
        slab has the least order, and the number is wrong.)  The right number leads from every freelist back
        to its slab, so no slab refutes it.  Returns 0 if there is no such number, or more than one.
        """
        seen: list[_PartialSlab] = []
        for cache in caches:
            slab = self._partial_slab(cache)
            seen += [slab] if slab else []
            if len(seen) >= 32:
                break
        numbers = {each.vmemmap for each in seen}
        right = [number for number in numbers if not any(self._refutes(each, number) for each in seen)]
        return right[0] if len(right) == 1 else 0

    def vmemmap_of_symbols(self, vmemmap_base: int, page_offset_base: int) -> int:
        """The same number from the kernel's variables at these addresses (0: not known); 0 if that fails.

        For where no cache has a partial slab, as on a small machine that has just booted.  The struct page of
        an address in the direct map is virt_to_page(), which adds the page's number to the kernel's vmemmap.
        """
        first, begin = self.u64(vmemmap_base), self.u64(page_offset_base)
        if not (vmemmap_base and page_offset_base and first and begin):
            return 0
        return (first - begin // PAGE_SIZE * self._shape.sizeof_page) % _U64

    def confirms(self, vmemmap: int, caches: list[SlabCache]) -> bool:
        """Whether the number leads from every struct kmem_cache to a slab of the cache they are from.

        Without VMEMMAP the kernel has an array of struct pages for each section of memory, and no number is
        right for all of them.
        """
        own = next((cache.address for cache in caches if cache.name == "kmem_cache"), 0)
        pages = {cache.address & ~(PAGE_SIZE - 1) for cache in caches}
        found = [self.slab_at(vmemmap, page) for page in sorted(pages)] if own else []
        return bool(found) and all(place is not None and place.cache == own for place in found)

    def _partial_slab(self, cache: SlabCache) -> _PartialSlab | None:
        """The first partial slab of node 0; None if there is none."""
        shape = self._shape
        node = self.u64(cache.address + shape.cache_fields["node"])
        if not node:
            return None
        head = node + shape.cache_node_partial
        slab = (self.u64(head) - shape.slab_list) % _U64
        if slab == (head - shape.slab_list) % _U64:
            return None  # the list is empty
        freelist = self.u64(slab + shape.slab_freelist)
        if not freelist or self.u64(slab + shape.slab_cache) != cache.address:
            return None  # the slab left the list meanwhile
        start = freelist & ~((PAGE_SIZE << cache.order) - 1)
        vmemmap = (slab - (start // PAGE_SIZE) * shape.sizeof_page) % _U64
        return _PartialSlab(slab, freelist, cache.address, vmemmap)

    def _refutes(self, seen: _PartialSlab, vmemmap: int) -> bool:
        """Whether the number leads from the freelist of a slab elsewhere, and the slab is still the same."""
        found = self.slab_at(vmemmap, seen.freelist & ~(PAGE_SIZE - 1))
        if found is not None and found.struct == seen.page and found.cache == seen.cache:
            return False
        shape = self._shape
        now = self.u64(seen.page + shape.slab_freelist), self.u64(seen.page + shape.slab_cache)
        return now == (seen.freelist, seen.cache)  # else it changed, which says nothing


def find_any_cache(programs: Programs, shape: KernelShape, kallsyms_slab_caches: int) -> int:
    """The address of any one kmem_cache, from an allocation or from the symbol slab_caches.

    Raises CaptureError if neither gives one.
    """
    if "cache" in shape.arguments["kmem_cache_alloc"]:
        caught = programs.mapped("caught", "<u8", 1)
        programs.attach("catch_cache", "kmem_cache_alloc")
        try:
            os.close(os.open("/proc/self/stat", os.O_RDONLY))  # allocates a struct file
        finally:
            programs.detach(["catch_cache"])
        if caught[0]:
            return int(caught[0])
    if kallsyms_slab_caches:
        walk = SlabWalk(programs, shape)
        return walk.u64(kallsyms_slab_caches) - shape.cache_fields["list"]
    raise CaptureError(
        "no slab cache can be found: no tracepoint names one, and /proc/kallsyms does not show slab_caches",
        "run as root, with sysctl kernel.kptr_restrict=0 or 1, on a kernel with CONFIG_KALLSYMS_ALL=y",
    )


def aliases() -> dict[str, list[str]]:
    """Names of merged caches: {name of the cache: sorted aliases}, from /sys/kernel/slab.

    SLUB merges similar caches.  An alias is a symlink to a directory with an id such as `:0000192`, and the
    cache's own name may be one too.
    """
    by_target: dict[str, list[str]] = {}
    if not _SYS_SLAB.is_dir():
        return {}
    for entry in _SYS_SLAB.iterdir():
        target = entry.readlink() if entry.is_symlink() else entry
        if not entry.name.startswith(":"):
            by_target.setdefault(target.name, []).append(entry.name)
    merged: dict[str, list[str]] = {}
    for names in by_target.values():
        for name in names:
            merged[name] = sorted(other for other in names if other != name)
    return merged
