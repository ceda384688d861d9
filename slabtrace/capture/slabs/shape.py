# SPDX-License-Identifier: Apache-2.0
"""Byte offsets of the slab allocator's lists of free objects on this kernel, from its BTF.

Up to 6.17 free objects are in slabs, and in each CPU's current slab (struct kmem_cache_cpu).  6.18 adds
sheaves, arrays of free objects per CPU and node (2d517aa09bbc, "slab: add opt-in caching layer of percpu
sheaves").  In 7.x sheaves replace the current slabs.
"""

from __future__ import annotations

from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf


@dataclass(frozen=True)
class SheafShape:
    """Offsets in struct slub_percpu_sheaves, slab_sheaf and node_barn."""

    percpu: int  # in kmem_cache: the per-CPU pointer, which is 0 if a cache has no sheaves
    of_cpu: tuple[int, ...]  # main, spare, rcu_free
    cache: int
    size: int
    objects: int
    barn: int  # in kmem_cache_node, or (7.x) in kmem_cache_per_node_ptrs
    barn_in_node: bool
    barn_link: int  # in slab_sheaf
    barn_full: int  # list head in node_barn


@dataclass(frozen=True)
class SlabShape:
    """Offsets in struct slab (struct page before 5.17), kmem_cache and kmem_cache_cpu.

    `random`: None without CONFIG_SLAB_FREELIST_HARDENED.  `cpu_slab`: None if CPUs have no current slab.
    `nodes`, `node_stride`, `node_count`: the array in kmem_cache with a pointer for each node.
    """

    slab_cache: int
    freelist: int
    counters: int
    link: int  # in kmem_cache: the field with the offset, in a free object, of the link to the next
    random: int | None
    cpu_slab: int | None
    cpu_freelist: int
    cpu_tid: int
    cpu_current: int
    nodes: int
    node_stride: int
    node_count: int
    sheaves: SheafShape | None
    pptrs: int | None


def examine(btf: Btf, node_count: int) -> SlabShape | None:
    """The running kernel's shape; None if it is not one that slabtrace knows."""
    slab = "slab" if btf.has_field("slab", "slab_cache") else "page"
    needed = [(slab, "slab_cache"), (slab, "freelist"), (slab, "counters"), ("kmem_cache", "offset")]
    if not all(btf.has_field(*each) for each in needed):
        return None
    cpu = "kmem_cache_cpu" if btf.has_field("kmem_cache", "cpu_slab") else None
    current = "slab" if btf.has_field("kmem_cache_cpu", "slab") else "page"
    per_node = btf.has_field("kmem_cache", "per_node")
    return SlabShape(
        slab_cache=btf.offsetof(slab, "slab_cache"),
        freelist=btf.offsetof(slab, "freelist"),
        counters=btf.offsetof(slab, "counters"),
        link=btf.offsetof("kmem_cache", "offset"),
        random=_optional(btf, "kmem_cache", "random"),
        cpu_slab=_optional(btf, "kmem_cache", "cpu_slab"),
        cpu_freelist=btf.offsetof(cpu, "freelist") if cpu else 0,
        cpu_tid=btf.offsetof(cpu, "tid") if cpu else 0,
        cpu_current=btf.offsetof(cpu, current) if cpu else 0,
        nodes=btf.offsetof("kmem_cache", "per_node" if per_node else "node"),
        node_stride=btf.sizeof("kmem_cache_per_node_ptrs") if per_node else 8,
        node_count=node_count,
        sheaves=_sheaves(btf) if btf.has_field("kmem_cache", "cpu_sheaves") else None,
        pptrs=_optional(btf, "bpf_array", "pptrs"),
    )


def _sheaves(btf: Btf) -> SheafShape:
    of_node = btf.has_field("kmem_cache_node", "barn")
    barn_of = "kmem_cache_node" if of_node else "kmem_cache_per_node_ptrs"
    return SheafShape(
        percpu=btf.offsetof("kmem_cache", "cpu_sheaves"),
        of_cpu=tuple(btf.offsetof("slub_percpu_sheaves", name) for name in ("main", "spare", "rcu_free")),
        cache=btf.offsetof("slab_sheaf", "cache"),
        size=btf.offsetof("slab_sheaf", "size"),
        objects=btf.offsetof("slab_sheaf", "objects"),
        barn=btf.offsetof(barn_of, "barn"),
        barn_in_node=of_node,
        barn_link=btf.offsetof("slab_sheaf", "barn_list"),
        barn_full=btf.offsetof("node_barn", "sheaves_full"),
    )


def _optional(btf: Btf, struct: str, field: str) -> int | None:
    return btf.offsetof(struct, field) if btf.has_field(struct, field) else None
