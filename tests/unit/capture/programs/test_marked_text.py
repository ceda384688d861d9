# SPDX-License-Identifier: Apache-2.0
"""Functions of the allocators: their kinds by the names that kernels from 5.10 to 7.x have, and the map."""

from __future__ import annotations

import pytest

from slabtrace.capture.programs import marked_text
from slabtrace.capture.programs.marked_text import (
    LARGE,
    OTHER,
    PAGE_CACHE,
    PAGES,
    PERCPU,
    SLAB,
    VMALLOC,
    kind_of,
    marked,
)


@pytest.mark.parametrize(
    ("kind", "functions"),
    [
        # 5.10 · 6.1 · 6.12 and later; frees
        (PAGES, "__alloc_pages_nodemask alloc_pages_current __alloc_pages alloc_pages __folio_alloc"),
        (PAGES, "__alloc_pages_noprof __alloc_frozen_pages_noprof alloc_pages_mpol get_free_pages_noprof"),
        (PAGES, "__get_free_pages get_zeroed_page"),
        (PAGES, "__alloc_pages_slowpath.constprop.0 vma_alloc_folio_noprof"),
        (PAGES, "__alloc_pages_bulk alloc_pages_bulk_noprof page_frag_alloc_align __page_frag_cache_drain"),
        (PAGES, "__free_pages free_pages free_unref_page __free_pages_ok"),
        (PAGES, "__put_page __folio_put release_pages"),
        (PAGES, "free_unref_folios free_frozen_pages __free_pages_prepare"),
        (PAGES, "kvmalloc_node __kvmalloc_node_noprof"),
        (SLAB, "alloc_slab_page allocate_slab new_slab ___slab_alloc __slab_alloc.isra.0 __free_slab"),
        (SLAB, "discard_slab rcu_free_slab new_slab_objects refill_objects"),
        (LARGE, "kmalloc_order kmalloc_order_trace kmalloc_large_node"),
        (LARGE, "___kmalloc_large_node free_large_kmalloc"),
        (LARGE, "__kmalloc_large_node_noprof kfree __kmem_cache_free_bulk.part.0"),
        (PAGE_CACHE, "__page_cache_alloc page_cache_ra_unbounded"),
        (PAGE_CACHE, "filemap_alloc_folio_noprof pagecache_get_page"),
        (VMALLOC, "__vmalloc_node_range __vmalloc_node_range_noprof vmalloc vzalloc_noprof vfree __vfree"),
        (VMALLOC, "__vmalloc_area_node __vunmap delayed_vfree_work vmalloc_user_noprof"),
        (PERCPU, "pcpu_alloc pcpu_alloc_noprof pcpu_populate_chunk"),
        (PERCPU, "pcpu_alloc_pages.constprop.0 pcpu_balance_free"),
        (OTHER, "kmem_cache_alloc_noprof __kmalloc_noprof pte_alloc_one skb_page_frag_refill pipe_write"),
        (OTHER, "ioremap_prot vmap free_pages_and_swap_cache"),
        (OTHER, "vmalloc_info_show kfree_skb_list pcpu_freelist_pop"),
        (OTHER, "folio_alloc_buffers alloc_percpu_trace vmalloc_to_page kvfree_call_rcu dma_alloc_pages"),
    ],
)  # fmt: skip
def test_kinds(kind: int, functions: str) -> None:
    assert {name: kind_of(name) for name in functions.split()} == dict.fromkeys(functions.split(), kind)


def test_each_16_bytes_of_a_function_have_its_kind() -> None:
    text = marked([("vfree", range(0x1040, 0x1075)), ("__alloc_pages", range(0x1008, 0x1030))])
    assert text.first == 0x1000
    found = {text.first + 16 * i: int(kind) for i, kind in enumerate(text.kinds) if kind}
    assert found == {
        0x1000: PAGES, 0x1010: PAGES, 0x1020: PAGES,
        0x1040: VMALLOC, 0x1050: VMALLOC, 0x1060: VMALLOC, 0x1070: VMALLOC,
    }  # fmt: skip
    assert text.defines() == {"TEXT_FIRST": "0x1000ull", "TEXT_ROWS": "1"}


def test_every_kind_is_left_out_or_marked() -> None:
    kinds = {OTHER, PAGES, SLAB, LARGE, PAGE_CACHE, VMALLOC, PERCPU, marked_text.USER}
    assert kinds == set(range(marked_text.KINDS))
