# SPDX-License-Identifier: Apache-2.0
"""Objects that the kernel keeps on purpose, or that belong to something else: they grow without a leak."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Fate(Enum):
    """What becomes of such objects."""

    KEPT = "kept"  # they stay
    SHRUNK = "shrunk"  # the kernel frees them when memory is short
    PROCESS = "process"  # they are freed when the process ends
    TIMED = "timed"  # the kernel frees them after a time


class Design(NamedTuple):
    """Objects of a `cache`, allocated in a stack with the function `symbol`; `reason`: what they are.

    `lives_s`: how long they live, where the kernel frees them after a time.  `unless`: they are something
    else in a stack with this function.
    """

    cache: re.Pattern[str]
    symbol: re.Pattern[str]
    fate: Fate
    reason: str
    lives_s: int = 0
    unless: re.Pattern[str] | None = None

    def fits(self, cache: str, frames: list[str]) -> bool:
        """Whether these are such objects."""
        if not self.cache.search(cache) or not any(self.symbol.search(frame) for frame in frames):
            return False
        return self.unless is None or not any(self.unless.search(frame) for frame in frames)


INNER = 12  # frames of a stack that are looked at: deeper ones say what was done, not what for
ANY = re.compile("")
_OF_PROCESS = "belongs to a process, and is freed when that ends"

KNOWN = (
    # mm/slub.c: one vector per slab, for as long as the slab lives; named after memcg before 6.10
    Design(
        ANY,
        re.compile(r"^(alloc_slab_obj_exts|memcg_alloc_(slab|page)_(obj_)?cgroups)\b"),
        Fate.KEPT,
        "bookkeeping of the slab allocator, which grows with the slabs of other caches",
    ),
    # mm/slub.c, 6.18: per-CPU arrays of free objects
    Design(
        ANY,
        re.compile(r"^(_*alloc_(empty|full)_sheaf|__pcs_replace_(empty|full)_main)\b"),
        Fate.KEPT,
        "free objects that the slab allocator keeps for itself",
    ),
    # mm/vmalloc.c, 6.9: freed areas stay in pools by size, which a shrinker ("vmap-node") empties.  Caches of
    # others are merged into this one: only what these functions allocate is an area
    Design(
        re.compile(r"^vmap_area$"),
        re.compile(
            r"^(alloc_vmap_area|pcpu_get_vm_areas|va_clip|(classify|adjust)_va_to_fit_type|ne_fit_preload\w*"
            r"|preload_this_cpu_lock|__get_vm_area_node)\b"
        ),
        Fate.SHRUNK,
        "vmalloc keeps freed areas in pools, and frees them when memory is short",
    ),
    # fs/buffer.c: freed with the page of the page cache
    Design(
        re.compile(r"^buffer_head$"),
        re.compile(r"^alloc_buffer_head\b"),
        Fate.SHRUNK,
        "belongs to the page cache, which the kernel frees when memory is short",
    ),
    # mm/filemap.c: nodes of the page cache (before 5.16 add_to_page_cache_lru); shmem's are not among them,
    # its pages stay, and so do those of others that are no files on a disk
    Design(
        re.compile(r"^radix_tree_node$"),
        re.compile(
            r"^(_*filemap_add_folio|_*add_to_page_cache_(lru|locked)|page_cache_ra_\w+|workingset_\w+)\b"
        ),
        Fate.SHRUNK,
        "belongs to the page cache, which the kernel frees when memory is short",
        unless=re.compile(r"^(shmem_|hugetlb_|secretmem_|kvm_gmem_)"),
    ),
    # net/ipv4/tcp_metrics.c: one for each peer, for its next connection; a full bucket uses its oldest again
    Design(
        ANY,
        re.compile(r"^(tcpm_new|tcp_get_metrics)\b"),
        Fate.KEPT,
        "what TCP knows of its peers, kept for the next connection: their number is bounded",
    ),
    # security/integrity/ima: the list of measurements, which is kept until the machine reboots
    Design(
        ANY,
        re.compile(r"^(ima_alloc_init_template|ima_add_digest_entry|ima_add_template_entry)\b"),
        Fate.KEPT,
        "measurements of IMA, which are kept until the machine reboots",
    ),
    # fs/ext4/extents_status.c: a shrinker of its own
    Design(
        ANY,
        re.compile(r"^(__es_insert_extent|ext4_es_insert_extent)\b"),
        Fate.SHRUNK,
        "cached extents of ext4, which the kernel frees when memory is short",
    ),
    # fs/ext4/symlink.c of some kernels: where a short link leads to, allocated long after its inode
    Design(
        ANY,
        re.compile(r"^ext4_cache_fast_symlink\b"),
        Fate.SHRUNK,
        "belongs to a cached inode, which the kernel frees when memory is short",
    ),
    # include/net/tcp.h: TCP_TIMEWAIT_LEN; the bind bucket stays as long (inet_timewait_sock.c)
    Design(
        ANY,
        re.compile(r"^(inet_twsk_alloc|__inet_hash_connect|inet_csk_get_port|inet_bind2?_bucket_create)\b"),
        Fate.TIMED,
        "closed TCP connections in TIME_WAIT, which the kernel keeps for 60 s",
        60,
    ),
    # net/netfilter/nf_conntrack_proto_tcp.c: tcp_timeouts; an established connection has 5 days
    Design(
        re.compile(r"^nf_conntrack$"),
        ANY,
        Fate.TIMED,
        "tracked connections, which netfilter keeps for 2 min after they were closed",
        120,
    ),
    # mm/vma.c, mm/mmap.c, mm/rmap.c, lib/maple_tree.c: the address space of a process.  Others have trees,
    # too: the directories of tmpfs (fs/libfs.c), interrupts (kernel/irq/irqdesc.c), regmap
    Design(
        ANY,
        re.compile(r"^(vm_area_(alloc|dup)|__?anon_vma_\w+|anon_vma_(clone|fork)|mas_\w+|mm_alloc|dup_mm)\b"),
        Fate.PROCESS,
        _OF_PROCESS,
        unless=re.compile(r"^(mtree_\w+|simple_offset_\w+|irq_\w+|regcache_\w+)\b"),
    ),
    # kernel/fork.c, kernel/cred.c, kernel/pid.c, fs/file.c
    Design(
        ANY,
        re.compile(
            r"^(copy_process|dup_task_struct|alloc_pid|copy_signal|copy_sighand|dup_fd|copy_fs_struct)\b"
        ),
        Fate.PROCESS,
        _OF_PROCESS,
        # a pidfd is a file, and namespaces may be held by others
        unless=re.compile(
            r"^(_*pidfd_prepare|pidfs_alloc_file|anon_inode_getfile\w*|create_new_namespaces|copy_namespaces)\b"
        ),
    ),
)


# mm/slub.c: frees of vectors that belong to a slab, and of per-CPU arrays of free objects
_INSIDE = re.compile(r"^(_*free_slab|free_slab_obj_exts|unaccount_slab|free_empty_sheaf|rcu_free_sheaf\w*)\b")


def freed_inside(symbol: str) -> bool:
    """Whether what is freed by this function is the slab allocator's own: no object of anybody else."""
    return bool(_INSIDE.search(symbol))


def by_design(cache: str, symbol: str, stack: list[str] | None = None) -> Design | None:
    """The known design that objects of `cache` are part of.

    `symbol`: who called the allocator ("": not distinguished); `stack`: the frames above it, innermost first.
    """
    frames = [symbol, *(stack or [])[:INNER]]
    return next((each for each in KNOWN if each.fits(cache, frames)), None)
