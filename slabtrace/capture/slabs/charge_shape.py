# SPDX-License-Identifier: Apache-2.0
"""Where this kernel writes down which memory cgroup an object is charged to, from its BTF.

A slab has an array with an entry for each object; the entry leads to the cgroup through an obj_cgroup
(mm/memcontrol.c, mm/slab.h).  The array was in page.obj_cgroups (5.9), page.memcg_data (5.11),
slab.memcg_data (5.17), and is in slab.obj_exts since 6.10 (21c690a349ba).  In 7.x it may lie in the slab
itself, and the distance of the entries is in slab.stride.  What is unlike all of these is not read.
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
_POINTER = 8


@dataclass(frozen=True)
class Stride:
    """Bytes from one entry to the next: `fixed`, or of each slab a number of `width` bytes at `offset`."""

    fixed: int
    offset: int = 0
    width: int = 0


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
    """`size`: of the beginning of struct slab that has all fields; `array`: the pointer, with flags in it."""

    size: int
    slab_cache: int
    array: int
    stride: Stride
    objcg: int  # in an entry
    cgroup: CgroupShape


def examine(btf: Btf) -> ChargeShape | str:
    """The running kernel's shape, or the reason why there is none."""
    kept = (each for each in _ARRAYS if btf.has_field(*each) and btf.has_field(each[0], "slab_cache"))
    struct, array = next(kept, ("", ""))
    if not struct or not btf.has_field("obj_cgroup", "memcg"):
        return NO_CGROUPS
    cgroup, stride = _cgroup(btf), _stride(btf, array)
    if cgroup is None or stride is None:
        return NOT_KNOWN
    cache, place = (btf.offsetof(struct, name) for name in ("slab_cache", array))
    objcg = btf.offsetof("slabobj_ext", "objcg") if array == "obj_exts" else 0
    size = max(cache, place, stride.offset) // 8 * 8 + 8
    return ChargeShape(size, cache, place, stride, objcg, cgroup)


def _stride(btf: Btf, array: str) -> Stride | None:
    """None: the entries are unlike those of any kernel that is known."""
    if array != "obj_exts":
        return Stride(_POINTER)  # struct obj_cgroup *
    if not btf.has_field("slabobj_ext", "objcg") or btf.has_field("slab", "obj_exts_in_object"):
        return None
    if not btf.has_field("slab", "stride"):
        return Stride(btf.sizeof("slabobj_ext"))
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
