# SPDX-License-Identifier: Apache-2.0
"""Marks the functions of the kernel's allocators, so that programs find who called them (bpf/caller.h).

Functions of all kernels from 5.10 to 7.x are listed; those that the compiler made of them have suffixes
(.isra.0, .constprop.0, .part.0), and from 6.10 on _noprof (7bd230a26648).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.kernel.kallsyms import kernel_functions
from slabtrace.capture.programs.layout import header_numbers
from slabtrace.capture.programs.loading import Programs
from slabtrace.errors import CaptureError

_NUMBERS = header_numbers("caller.h")
ROW, SHIFT, KINDS = (_NUMBERS[name] for name in ("TEXT_ROW", "TEXT_SHIFT", "TEXT_KINDS"))
OTHER, PAGES, SLAB, LARGE, PAGE_CACHE, VMALLOC, PERCPU, USER = (
    _NUMBERS[f"TEXT_{name}"]
    for name in ("OTHER", "PAGES", "SLAB", "LARGE", "PAGE_CACHE", "VMALLOC", "PERCPU", "USER")
)
_SUFFIX = re.compile(r"(_noprof)?(\.(isra|constprop|part|cold|llvm)[.\d]*)*$")
# Whole names, without suffixes.
_FUNCTIONS = {
    PAGES: r"_*alloc_(frozen_)?pages(_(nodemask|current|vma|mpol|nolock|slowpath|direct_compact"
    r"|direct_reclaim|cpuset_fallback|may_oom|exact|exact_nid|bulk|bulk_array|bulk_list|bulk_array_mempolicy|bulk_mempolicy"
    r"|bulk_weighted_interleave|bulk_interleave|bulk_preferred_many|preferred_many))?|alloc_page_interleave"
    r"|alloc_page_vma|get_page_from_freelist|__get_free_pages|get_free_pages|get_zeroed_page|_*folio_alloc"
    r"(_mpol)?|vma_alloc_folio|_*page_frag_(alloc|alloc_align|cache_drain|cache_refill|free)|page_frag_alloc"
    r"|___?free_pages(_ok|_prepare)?|free_pages(_prepare|_exact|_nolock)?|_*free_frozen_pages|free_frozen_page"
    r"_commit|free_pcp_prepare|free_unref_(page|page_list|page_prepare|page_commit|folios)|free_the_page"
    r"|__(put|folio_put)(_page|_single_page|_compound_page|_small|_large)?|__folio_put|put_pages_list"
    r"|release_pages|folios_put_refs|free_compound_page|destroy_large_folio"
    r"|_*kvmalloc_node|kvfree|alloc_vmap_area|__get_vm_area_node|free_vmap_area_noflush|free_unmap_vmap_area"
    r"|remove_vm_area",
    SLAB: r"alloc_slab_page|allocate_slab|new_slab|new_slab_objects|_*slab_alloc|refill_objects|_*free_slab"
    r"|discard_slab|rcu_free_slab",
    LARGE: r"_*kmalloc_large(_node|_node_notrace)?|kmalloc_order(_trace)?|free_large_kmalloc|kfree"
    r"|_*kmem_cache_free_bulk|build_detached_freelist",
    PAGE_CACHE: r"filemap_alloc_folio|__page_cache_alloc|page_cache_ra_(unbounded|order)|ra_alloc_folio"
    r"|__filemap_get_folio(_mpol)?|pagecache_get_page|do_read_cache_(page|folio)|__do_page_cache_readahead",
    VMALLOC: r"__vmalloc(_node|_node_range|_area_node|_array)?|v[mz]alloc(_node|_user|_32|_32_user|_huge"
    r"|_huge_node|_array|_exec|_no_huge)?|_*vcalloc|_*vfree(_atomic)?|__vunmap|delayed_vfree_work|free_work",
    PERCPU: r"pcpu_(alloc|populate_chunk|create_chunk|mem_zalloc|mem_free|balance_workfn|balance_populated"
    r"|balance_free|alloc_pages|free_pages|depopulate_chunk|destroy_chunk|reclaim_populated"
    r"|create_chunk|alloc_chunk|free_chunk)|__alloc_percpu(_gfp)?",
}  # fmt: skip
_PART = b"alloc|free|put_|pages|slab|_cache_|filemap|get_vm_area|vunmap|remove_vm_area|refill_objects|folio"
_KIND_OF = tuple((kind, re.compile(names)) for kind, names in _FUNCTIONS.items())


class MarkedText(NamedTuple):
    """The kind (TEXT_ in bpf/caller.h) of the function at each 16 bytes from `first` on, shape (n,)."""

    first: int
    kinds: NDArray[np.uint8]

    def defines(self) -> dict[str, str]:
        """The -D numbers for bpf/caller.h."""
        return {"TEXT_FIRST": f"{self.first:#x}ull", "TEXT_ROWS": str(-(-len(self.kinds) // ROW))}

    def fill(self, programs: Programs) -> None:
        """Give the programs the kinds."""
        table = programs.table("marked_text")
        rows = np.zeros(-(-len(self.kinds) // ROW) * ROW, np.uint8)
        rows[: len(self.kinds)] = self.kinds
        for index, row in enumerate(rows.reshape(-1, ROW)):
            if row.any():
                table[table.Key(index)] = table.Leaf.from_buffer_copy(row.tobytes())


def read_marked() -> MarkedText:
    """Mark the functions of the running kernel.  Raises CaptureError where their addresses are hidden."""
    found = [(name, span) for name, span in kernel_functions(_PART) if kind_of(name) != OTHER]
    if not found:
        raise CaptureError(
            "--pages and --vmalloc cannot be used: the addresses of the kernel's functions are hidden",
            "set kernel.kptr_restrict to 0 or 1, and run as root",
        )
    return marked(found)


def kind_of(function: str) -> int:
    """The kind of a function by its name; OTHER if it belongs to no allocator."""
    name = _SUFFIX.sub("", function)
    return next((kind for kind, names in _KIND_OF if names.fullmatch(name)), OTHER)


def marked(functions: Iterable[tuple[str, range]]) -> MarkedText:
    """Mark functions, given by name and addresses."""
    listed = list(functions)
    first = min(span.start for _, span in listed) >> SHIFT << SHIFT
    kinds = np.zeros((max(span.stop for _, span in listed) - first >> SHIFT) + 1, np.uint8)
    for name, span in listed:
        kinds[span.start - first >> SHIFT : -(-(span.stop - first) >> SHIFT)] = kind_of(name)
    return MarkedText(first, kinds)
