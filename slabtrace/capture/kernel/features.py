# SPDX-License-Identifier: Apache-2.0
"""What differs between kernels, found by features of the BTF, and given to bpf/ as -D numbers.

This is the one place of capture/ for kernel differences (in bpf/ it is cache_of.h and the arguments in
slab.c). Each entry names the kernel change that made it.  No version number is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from slabtrace.capture.kernel import arguments
from slabtrace.capture.kernel.btf import Btf
from slabtrace.errors import CaptureError

# The kmem tracepoints of the slab allocator.  The _node variants ended in 6.1, when
# 11e9734bcb6a unified them with the plain ones.
TRACEPOINTS = (
    "kmalloc",
    "kmalloc_node",
    "kmem_cache_alloc",
    "kmem_cache_alloc_node",
    "kfree",
    "kmem_cache_free",
)
REQUIRED_TRACEPOINTS = ("kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free")
TASK_TRACEPOINTS = ("task_newtask", "task_rename")
PAGE_FREE = "mm_page_free"

_CACHE_FIELDS = ("name", "list", "size", "object_size", "flags", "oo", "red_left_pad")
# Kernels with a struct bpf_map_memory refuse larger maps: bpf_map_charge_init, gone in 5.11 (80ee81e0403c)
LARGEST_CHARGED_MAP = (1 << 32) - 2 * 4096
_RECIPROCAL = "reciprocal_size"  # of kmem_cache since 5.9 (4138fdfc8f27)


@dataclass(frozen=True)
class SlabPageTest:
    """A page is a slab page if (the u32 at `offset` of its struct page) & `mask` == `value`."""

    offset: int
    mask: int
    value: int


@dataclass(frozen=True)
class KernelShape:
    """What the programs and the slab walk need to know about the running kernel.

    `arguments`: of each tracepoint, {argument name: index}.  Offsets are in bytes.
    """

    arguments: dict[str, dict[str, int]]  # of the kmem tracepoints
    other_arguments: dict[str, dict[str, int]]  # of those of tasks, and of mm_page_free
    sizeof_page: int
    compound_head: int  # or compound_info, then `compound_masked`
    compound_masked: bool
    slab_cache: int
    slab_list: int
    slab_freelist: int
    slab_page: SlabPageTest
    slab_counters: int | None  # None: this kernel has no such word
    cache_fields: dict[str, int]
    cache_node_partial: int
    task_fields: dict[str, int]
    preemptible: bool  # can a raw tracepoint program be preempted? (bpf/ring.h)
    page_end: bool  # does a freed slab page still have its slab_cache? (bpf/page_end.h)
    largest_map: int | None  # bytes of a BPF map; None: as memory allows
    reclaim_account: int  # mask of SLAB_RECLAIM_ACCOUNT in kmem_cache.flags
    notes: list[str] = field(default_factory=list)

    @property
    def free_traced_after(self) -> bool:
        """Is kmem_cache_free traced after the free?  From 6.1, where it names its cache, it is not."""
        return "cache" not in self.arguments["kmem_cache_free"]

    @property
    def judges_frees(self) -> bool:
        """Can the programs judge whether an object begins at a freed address (bpf/object_start.h)?"""
        return self.slab_counters is not None and _RECIPROCAL in self.cache_fields

    @property
    def tracepoints(self) -> list[str]:
        """The slab tracepoints this kernel has, in the order of TRACEPOINTS."""
        return [name for name in TRACEPOINTS if name in self.arguments]

    def defines(self) -> dict[str, int]:
        """The -D numbers for bpf/."""
        numbers = {
            name: index
            for tracepoint, places in (self.arguments | self.other_arguments).items()
            for name, index in arguments.defines(tracepoint, places).items()
        }
        last = max(self.compound_head, self.slab_cache, self.slab_page.offset, self.slab_counters or 0)
        numbers |= self._judging() | {
            "SIZEOF_PAGE": self.sizeof_page,
            "PAGE_WORDS": last // 8 + 1,
            "PAGE_COMPOUND_HEAD": self.compound_head,
            "SLAB_SLAB_CACHE": self.slab_cache,
            "SLAB_TEST_OFFSET": self.slab_page.offset,
            "SLAB_TEST_MASK": self.slab_page.mask,
            "SLAB_TEST_VALUE": self.slab_page.value,
            "CACHE_OBJECT_SIZE": self.cache_fields["object_size"],
            "CACHE_NAME": self.cache_fields["name"],
            "TASK_PID": self.task_fields["pid"],
            "TASK_TGID": self.task_fields["tgid"],
            "TASK_COMM": self.task_fields["comm"],
        }
        features = {
            "PREEMPTIBLE": self.preemptible,
            "PAGE_END": self.page_end,
            "PAGE_COMPOUND_MASKED": self.compound_masked,
        }
        return numbers | {name: 1 for name, present in features.items() if present}

    def _judging(self) -> dict[str, int]:
        """The -D numbers for bpf/object_start.h."""
        if not self.judges_frees:
            return {}
        places = {name: self.cache_fields[name] for name in ("size", _RECIPROCAL, "oo")}
        first = min(places.values()) & ~7
        return {
            "JUDGE_FREES": 1,
            "CACHE_FIRST": first,
            "CACHE_WORDS": (max(places.values()) + 8 - first) // 8 + 1,
            "CACHE_SIZE": places["size"],
            "CACHE_RECIPROCAL": places[_RECIPROCAL],
            "CACHE_OO": places["oo"],
            "CACHE_RED_LEFT_PAD": self.cache_fields["red_left_pad"],
            "SLAB_COUNTERS": self.slab_counters or 0,
        }


def examine(btf: Btf) -> KernelShape:
    """Learn the kernel's shape from its BTF.  Raises CaptureError if it lacks what slabtrace needs."""
    slab = _slab_struct(btf)
    return KernelShape(
        arguments=_tracepoint_arguments(btf),
        other_arguments=(others := _other_arguments(btf)),
        sizeof_page=btf.sizeof("page"),
        compound_head=btf.offsetof("page", _compound_field(btf)),
        compound_masked=_compound_field(btf) == "compound_info",
        slab_cache=btf.offsetof(slab, "slab_cache"),
        slab_list=btf.offsetof(slab, "slab_list"),
        slab_freelist=btf.offsetof(slab, "freelist"),
        slab_page=_slab_page_test(btf),
        slab_counters=btf.offsetof(slab, "counters") if btf.has_field(slab, "counters") else None,
        cache_fields={
            name: btf.offsetof("kmem_cache", name)
            for name in (*_CACHE_FIELDS, _RECIPROCAL)
            if name in _CACHE_FIELDS or btf.has_field("kmem_cache", name)
        }
        | {"node": _first_node(btf)},
        cache_node_partial=btf.offsetof("kmem_cache_node", "partial"),
        task_fields={name: btf.offsetof("task_struct", name) for name in ("pid", "tgid", "comm")},
        preemptible=preemptible(btf),
        page_end=PAGE_FREE in others and btf.offsetof(slab, "slab_cache") != btf.offsetof("page", "mapping"),
        largest_map=LARGEST_CHARGED_MAP if btf.has_field("bpf_map_memory", "pages") else None,
        reclaim_account=_reclaim_account(btf),
    )


def preemptible(btf: Btf) -> bool:
    """Whether a raw tracepoint program can be preempted.

    SRCU-fast came just before tracepoints were guarded by it (7.0, a46023d5616e).  With lockdep, as in a
    debug kernel, its function has another name: include/linux/srcu.h, CONFIG_DEBUG_LOCK_ALLOC.  A kernel with
    neither name that guards tracepoints by SRCU, and counts it as SRCU-fast needs (struct srcu_ctr, 6.15),
    is taken for one too: the lanes for programs that can be preempted are right for all.
    """
    if any(btf.function(name) is not None for name in ("init_srcu_struct_fast", "__init_srcu_struct_fast")):
        return True
    return btf.has_field("srcu_ctr", "srcu_locks") and btf.variable("tracepoint_srcu_srcu_data")


def _slab_struct(btf: Btf) -> str:
    """`struct slab` was split from `struct page` in 5.17 (d122019bf061); before, page has its fields."""
    return "slab" if btf.has_field("slab", "slab_cache") else "page"


def _compound_field(btf: Btf) -> str:
    """The field of a tail page that leads to its head; in 7.x it may be a mask instead (bpf/cache_of.h)."""
    return "compound_info" if btf.has_field("page", "compound_info") else "compound_head"


def _first_node(btf: Btf) -> int:
    """Offset in kmem_cache of the pointer to node 0's kmem_cache_node.

    Up to 6.18 it begins the array `node`; in 7.x the array `per_node` of pairs of pointers.
    """
    if btf.has_field("kmem_cache", "node"):
        return btf.offsetof("kmem_cache", "node")
    return btf.offsetof("kmem_cache", "per_node") + btf.offsetof("kmem_cache_per_node_ptrs", "node")


def _slab_page_test(btf: Btf) -> SlabPageTest:
    """How this kernel marks the pages of the slab allocator."""
    type_byte = btf.enum_value("pagetype", "PGTY_slab")
    if type_byte is not None:  # 6.12: 4ffca5a96678 ("mm: support only one page_type per page")
        return SlabPageTest(btf.offsetof("page", "page_type"), 0xFF000000, type_byte << 24)
    type_bit = btf.enum_value("pagetype", "PG_slab")
    if type_bit is not None:  # 6.10: 46df8e73a4a3 ("mm: free up PG_slab"); the bit of a slab page is 0
        return SlabPageTest(btf.offsetof("page", "page_type"), 0xF0000000 | type_bit, 0xF0000000)
    flag_bit = btf.enum_value("pageflags", "PG_slab")
    if flag_bit is None:
        raise CaptureError(
            "it is not known how this kernel marks slab pages: its BTF has neither PGTY_slab nor PG_slab",
            "please report it with the output of `uname -r`",
        )
    return SlabPageTest(btf.offsetof("page", "flags"), 1 << flag_bit, 1 << flag_bit)


def _reclaim_account(btf: Btf) -> int:
    """The mask of SLAB_RECLAIM_ACCOUNT.  The configuration sets it if mm/slab.h has _slab_flag_bits."""
    bit = btf.enum_value("_slab_flag_bits", "_SLAB_RECLAIM_ACCOUNT")
    return 0x00020000 if bit is None else 1 << bit


def _tracepoint_arguments(btf: Btf) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for tracepoint in TRACEPOINTS:
        types = btf.tracepoint_arguments(tracepoint)
        if types is not None:
            found[tracepoint] = _name_arguments(tracepoint, types)
    missing = [name for name in REQUIRED_TRACEPOINTS if name not in found]
    if missing:
        raise CaptureError(
            f"this kernel has no tracepoint kmem:{', kmem:'.join(missing)}",
            "boot a kernel built with CONFIG_TRACEPOINTS=y and CONFIG_DEBUG_INFO_BTF=y",
        )
    return found


def _name_arguments(tracepoint: str, types: list[str]) -> dict[str, int]:
    named = arguments.positions(types, arguments.KMEM)
    if not {"call_site", "ptr"} <= named.keys():
        raise arguments.unknown(f"kmem:{tracepoint}", types)
    return named


def _other_arguments(btf: Btf) -> dict[str, dict[str, int]]:
    """Of the tracepoints of tasks, and of mm_page_free if its arguments are known."""
    found = {name: arguments.of_tracepoint(btf, name) for name in (*TASK_TRACEPOINTS, PAGE_FREE)}
    for name in TASK_TRACEPOINTS:
        if found[name] is None:
            raise arguments.unknown(name, btf.tracepoint_arguments(name))
    return {name: places for name, places in found.items() if places is not None}
