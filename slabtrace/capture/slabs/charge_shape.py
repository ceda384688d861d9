# SPDX-License-Identifier: Apache-2.0
"""Where this kernel writes down which memory cgroup an object is charged to, from its BTF.

A slab has an array with an entry for each object; the entry leads to the cgroup through an obj_cgroup
(mm/memcontrol.c, mm/slab.h).  The array was in page.obj_cgroups (5.9), page.memcg_data (5.11),
slab.memcg_data (5.17), and is in slab.obj_exts since 6.10 (21c690a349ba).  From 7.0 on entries may lie in
the objects themselves: slab.stride is the distance from one to the next, or (7.3) bits of the slab say
whether it is that of the objects, and whether there are such entries at all.  What is unlike all of these is
not read.
"""

from __future__ import annotations

from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf

NO_CGROUPS = "this kernel has no memory cgroups that slab objects are charged to"
NOT_KNOWN = "it is not known how this kernel writes down to which memory cgroups objects are charged"
_ARRAYS = (
    ("slab", "obj_exts"),
    ("slab", "memcg_data"),
    ("page", "memcg_data"),
    ("page", "obj_cgroups"),
)
_ENTRIES = ("objcg", "_objcg")
_IN_OBJECT, _NEEDS = ("slab", "obj_exts_in_object"), ("slab", "obj_exts_needs_objcg")
_POINTER = 8


@dataclass(frozen=True)
class Stride:
    """Bytes from one entry to the next: `fixed`; or of each slab a number of `width` bytes at `offset`.

    `in_object`: a bit of struct slab, set where it is the distance of the objects; None: no such bit.
    """

    fixed: int
    offset: int = 0
    width: int = 0
    in_object: int | None = None


@dataclass(frozen=True)
class CgroupShape:
    """Offsets that lead from an obj_cgroup to the number and the path of its cgroup."""

    memcg: int  # in obj_cgroup
    cgroup: int  # in mem_cgroup
    root: int  # in cgroup
    hierarchy: int  # in cgroup_root
    node: int  # in cgroup: the pointer to its kernfs_node
    number: int  # in kernfs_node; of the directory
    parent: int
    name: int


@dataclass(frozen=True)
class ChargeShape:
    """`size`: of the beginning of struct slab that has all fields; `array`: the pointer, with flags in it.

    `has_entries`: a bit of struct slab, which is not set where its entries are of no cgroups; None: no such
    bit.
    """

    size: int
    slab_cache: int
    array: int
    stride: Stride
    objcg: int  # in an entry
    has_entries: int | None
    cgroup: CgroupShape


def examine(btf: Btf) -> ChargeShape | str:
    """The running kernel's shape, or the reason why there is none."""
    kept = (each for each in _ARRAYS if btf.has_field(*each) and btf.has_field(each[0], "slab_cache"))
    struct, array = next(kept, ("", ""))
    if not struct or not btf.has_field("obj_cgroup", "memcg"):
        return NO_CGROUPS
    entry = next((name for name in _ENTRIES if btf.has_field("slabobj_ext", name)), "")
    cgroup, stride = _cgroup(btf), _stride(btf, entry) if array == "obj_exts" else Stride(_POINTER)
    if cgroup is None or stride is None:
        return NOT_KNOWN
    cache, place = (btf.offsetof(struct, name) for name in ("slab_cache", array))
    objcg = btf.offsetof("slabobj_ext", entry) if array == "obj_exts" else 0
    needs = btf.bit_of(*_NEEDS) if btf.has_field(*_NEEDS) else None
    size = max(cache, place, stride.offset, (needs or 0) // 8) // 8 * 8 + 8
    return ChargeShape(size, cache, place, stride, objcg, needs, cgroup)


def _stride(btf: Btf, entry: str) -> Stride | None:
    """Of entries in slab.obj_exts; None: they are unlike those of any kernel that is known.

    In 7.3 a struct slabobj_ext holds an obj_cgroup or, if memory is profiled, another number: then an object
    has one or two of them, and BTF does not say how many.
    """
    if not entry:
        return None
    size = btf.sizeof("slabobj_ext")
    if btf.has_field(*_IN_OBJECT):
        alone = btf.has_field(*_NEEDS) and not btf.has_field("slabobj_ext", "_ctref")
        return Stride(size, in_object=btf.bit_of(*_IN_OBJECT)) if alone else None
    if not btf.has_field("slab", "stride"):
        return Stride(size)
    width = btf.width("slab", "stride")
    return Stride(0, btf.offsetof("slab", "stride"), width) if width in (2, 4) else None


def _cgroup(btf: Btf) -> CgroupShape | None:
    parent = "__parent" if btf.has_field("kernfs_node", "__parent") else "parent"  # since 6.15
    needed = [
        ("obj_cgroup", "memcg"), ("mem_cgroup", "css"), ("cgroup_subsys_state", "cgroup"), ("cgroup", "root"),
        ("cgroup_root", "hierarchy_id"), ("cgroup", "kn"), ("kernfs_node", "id"), ("kernfs_node", parent),
        ("kernfs_node", "name"),
    ]  # fmt: skip
    if not all(btf.has_field(*each) for each in needed):
        return None
    memcg, css, cgroup, *others = (btf.offsetof(*each) for each in needed)
    return CgroupShape(memcg, css + cgroup, *others)
