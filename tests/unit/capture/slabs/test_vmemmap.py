# SPDX-License-Identifier: Apache-2.0
"""Where the array of struct pages begins, learnt from partial slabs: also from such of an unusual order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from slabtrace.capture.slabs.walk import PAGE_SIZE, SlabCache, SlabPlace, SlabWalk

VMEMMAP, SIZEOF_PAGE = 0xFFFFEA00_00000000, 64
NODE, LIST, FREELIST, CACHE, PARTIAL = 0x80, 8, 16, 24, 32  # offsets of fields


def page_at(address: int) -> int:
    return (VMEMMAP + (address >> 12) * SIZEOF_PAGE) % (1 << 64)


class Memory(SlabWalk):
    """Slabs, each (number of its cache, first page, order): a kernel's memory as far as it is read."""

    def __init__(self, *slabs: tuple[int, int, int]) -> None:
        self._shape = SimpleNamespace(  # type: ignore[assignment]
            cache_fields={"node": NODE}, cache_node_partial=PARTIAL, slab_list=LIST, slab_freelist=FREELIST,
            slab_cache=CACHE, sizeof_page=SIZEOF_PAGE,
        )  # fmt: skip
        self.words: dict[int, int] = {}
        self.places: dict[int, SlabPlace] = {}  # by struct page
        for number, first, order in slabs:
            cache, node, page = 0x1000 * number, 0x100000 + 0x1000 * number, page_at(first)
            self.words |= {cache + NODE: node, node + PARTIAL: page + LIST, page + CACHE: cache}
            self.words[page + FREELIST] = first + (PAGE_SIZE << order) - 64  # in the last page
            for each in range(1 << order):
                self.places[page + each * SIZEOF_PAGE] = SlabPlace(page, first, cache)

    def u64(self, address: int) -> int:
        return self.words.get(address, 0)

    def slab_at(self, vmemmap: int, page: int) -> SlabPlace | None:
        return self.places.get((vmemmap + (page >> 12) * SIZEOF_PAGE) % (1 << 64))


def cache(number: int, order: int) -> SlabCache:
    return SlabCache(0x1000 * number, f"cache-{number}", 64, 64, 0, order, 64, 0, False)


FIRST = 0xFFFF8880_00100000


@pytest.mark.parametrize("unusual", [0, 1, 2, 3])
def test_slabs_of_the_least_order_do_not_spoil_what_the_others_say(unusual: int) -> None:
    """As on a small machine under pressure: the cache prefers order 3, this slab has one page."""
    usual = [(number, FIRST + (number << 20), 3) for number in range(1, 8)]
    small = (9, FIRST + (9 << 20) + unusual * PAGE_SIZE, 0)
    caches = [cache(9, 3), *(cache(number, 3) for number, _, _ in usual)]
    assert Memory(small, *usual).learn_vmemmap(caches) == VMEMMAP


def test_a_slab_that_changed_meanwhile_says_nothing() -> None:
    memory = Memory(*((number, FIRST + (number << 20), 1) for number in range(1, 5)))
    reads = iter([True])
    read = memory.u64

    def u64(address: int) -> int:
        """The first slab is given back, and its page is of another cache, once its freelist was read."""
        if address == page_at(FIRST + (1 << 20)) + CACHE and next(reads, False):
            value = read(address)
            memory.places = {page: each for page, each in memory.places.items() if each.cache != 0x1000}
            memory.words[page_at(FIRST + (1 << 20)) + FREELIST] = 0
            return value
        return read(address)

    memory.u64 = u64  # type: ignore[method-assign]
    assert memory.learn_vmemmap([cache(number, 1) for number in range(1, 5)]) == VMEMMAP


def test_without_partial_slabs_nothing_is_learnt() -> None:
    assert Memory().learn_vmemmap([cache(1, 0)]) == 0


def test_memory_that_no_number_fits_is_left_alone() -> None:
    """SPARSEMEM without VMEMMAP: the struct pages of two sections have nothing to do with each other."""
    memory = Memory((1, FIRST, 0), (2, FIRST + (1 << 30), 0))
    elsewhere = page_at(FIRST + (1 << 30)) + 0x10000
    memory.words |= {0x102000 + PARTIAL: elsewhere + LIST, elsewhere + CACHE: 0x2000}
    memory.words[elsewhere + FREELIST] = FIRST + (1 << 30)
    memory.places[elsewhere] = SlabPlace(elsewhere, FIRST + (1 << 30), 0x2000)
    assert memory.learn_vmemmap([cache(1, 0), cache(2, 0)]) == 0


OWN = 0xFFFF8880_00200000  # the slab of all struct kmem_caches


def of_kmem_caches(*addresses: int, elsewhere: int | None = None) -> tuple[Memory, list[SlabCache]]:
    """A kernel whose struct kmem_caches are at these addresses, the first that of all others."""
    memory = Memory()
    for address in addresses:
        page = address & ~(PAGE_SIZE - 1)
        memory.places[page_at(page)] = SlabPlace(page_at(page), page, elsewhere or addresses[0])
    names = ["kmem_cache", *(f"cache-{at}" for at in addresses[1:])]
    rows = zip(addresses, names, strict=True)
    return memory, [SlabCache(at, name, 64, 64, 0, 0, 64, 0, False) for at, name in rows]


def test_without_any_partial_slab_the_kernels_own_variables_are_asked() -> None:
    """Seen: 6.12 with PREEMPT_RT, just booted."""
    memory, caches = of_kmem_caches(OWN, OWN + 0x100, OWN + (1 << 30))
    assert memory.learn_vmemmap([]) == 0
    begin = 0xFFFF8880_00000000
    memory.words |= {0x10: page_at(begin), 0x18: begin}
    assert memory.vmemmap_of_symbols(0x10, 0x18) == VMEMMAP
    assert memory.confirms(VMEMMAP, caches)
    assert not memory.confirms(VMEMMAP + SIZEOF_PAGE, caches)


@pytest.mark.parametrize("symbols", [(0, 0), (0x10, 0), (0, 0x18), (0x10, 0x18)])
def test_variables_that_are_hidden_or_cannot_be_read_give_no_number(symbols: tuple[int, int]) -> None:
    assert Memory().vmemmap_of_symbols(*symbols) == 0


def test_a_number_that_is_wrong_for_some_memory_is_not_confirmed() -> None:
    """As without VMEMMAP, where each section of memory has an array of its own."""
    memory, caches = of_kmem_caches(OWN, OWN + 0x100, elsewhere=OWN + 0x40)
    assert not memory.confirms(VMEMMAP, caches)


def test_what_the_slabs_say_is_taken_only_if_it_is_confirmed_else_the_variables_are() -> None:
    memory, caches = of_kmem_caches(OWN, OWN + 0x100)
    begin = 0xFFFF8880_00000000
    memory.words |= {0x10: page_at(begin), 0x18: begin}
    memory.learn_vmemmap = lambda caches: VMEMMAP + SIZEOF_PAGE  # type: ignore[method-assign]
    assert memory.find_vmemmap(caches, 0x10, 0x18) == VMEMMAP
    memory.cache = lambda address: None  # type: ignore[method-assign]
    assert memory.find_vmemmap(caches, 0, 0) == 0


def test_a_cache_that_went_while_it_was_looked_at_confirms_nothing_and_refutes_nothing() -> None:
    memory, caches = of_kmem_caches(OWN, OWN + 0x100)
    gone = SlabCache(OWN + (1 << 30), "gone", 64, 64, 0, 0, 64, 0, False)
    here = {each.address: each for each in caches}
    memory.cache = here.get  # type: ignore[method-assign, assignment]
    memory.learn_vmemmap = lambda caches: VMEMMAP  # type: ignore[method-assign]
    assert not memory.confirms(VMEMMAP, [*caches, gone])
    assert memory.find_vmemmap([*caches, gone], 0, 0) == VMEMMAP
