# SPDX-License-Identifier: Apache-2.0
"""To which cgroups objects are charged, in made-up memory of every kind of kernel; and which kind one is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from slabtrace.capture.slabs.charge_shape import (
    NO_CGROUPS,
    NOT_KNOWN,
    CgroupShape,
    ChargeShape,
    Stride,
    examine,
)
from slabtrace.capture.slabs.charges import path_of
from slabtrace.capture.storing import charge_check
from tests.unit.capture.slabs.made_up_charges import (
    BITS,
    CGROUP,
    ENTRIES,
    HIERARCHY,
    LONG,
    OBJECTS,
    POINTERS,
    SHORT,
    Kernel,
    objects_of,
)

NONE = (0, 0)
SHAPES = [POINTERS, ENTRIES, SHORT, LONG, BITS]


def with_cgroups(shape: ChargeShape) -> tuple[Kernel, int, int]:
    """A kernel, and obj_cgroups of the cgroups 7 (/a) and 8 (/a/b)."""
    kernel = Kernel(shape)
    root = kernel.node(1, "")
    outer = kernel.node(7, "a", root)
    inner = kernel.node(8, "b", outer)
    return kernel, *(kernel.objcg(kernel.memcg(node)) for node in (outer, inner))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_object_has_the_cgroup_of_its_entry(shape: ChargeShape) -> None:
    kernel, outer, inner = with_cgroups(shape)
    slab = kernel.slab([outer, inner, 0, inner, outer, 0, inner, inner])
    kernel.free(slab, 1, 5)
    a, b = (HIERARCHY, 7), (HIERARCHY, 8)
    wanted = dict(zip(objects_of(slab), [a, b, NONE, b, a, NONE, b, b], strict=True))
    assert kernel.charged() == {
        ptr: wanted[ptr] for at, ptr in enumerate(objects_of(slab)) if at not in (1, 5)
    }


@pytest.mark.parametrize("shape", [SHORT, LONG, BITS])
def test_entries_that_lie_in_the_objects_themselves(shape: ChargeShape) -> None:
    kernel, outer, inner = with_cgroups(shape)
    slab = kernel.slab([outer, 0, inner], in_object=True)
    assert list(kernel.charged().values()) == [(HIERARCHY, 7), NONE, (HIERARCHY, 8)]
    assert list(kernel.charged()) == objects_of(slab, 3)


def test_a_slab_without_entries_has_no_charged_object() -> None:
    kernel = Kernel(ENTRIES)
    slab = kernel.slab([0] * OBJECTS, flags=0)
    assert kernel.charged() == dict.fromkeys(objects_of(slab), NONE)


def test_a_slab_with_entries_of_something_else_has_no_charged_object() -> None:
    kernel, outer, _ = with_cgroups(BITS)
    slab = kernel.slab([outer] * OBJECTS)
    kernel.put(0xFFFF_8880_0010_0000 + 16 * 64 + 20, 1, "<I")
    assert kernel.charged() == dict.fromkeys(objects_of(slab), NONE)


@pytest.mark.parametrize("flags", [2, 4])
def test_a_pointer_that_is_none_to_entries_says_nothing(flags: int) -> None:
    """MEMCG_DATA_KMEM: it is no slab any more."""
    kernel, outer, _ = with_cgroups(POINTERS)
    kernel.slab([outer] * OBJECTS, flags=flags)
    assert kernel.charged() == {}


def test_further_flags_are_no_part_of_the_address() -> None:
    kernel, outer, _ = with_cgroups(ENTRIES)
    slab = kernel.slab([outer], flags=1 | 4)
    assert kernel.charged() == {slab: (HIERARCHY, 7)}


def test_what_became_another_slab_or_cannot_be_read_says_nothing() -> None:
    kernel, outer, _ = with_cgroups(ENTRIES)
    kernel.slab([outer] * OBJECTS)
    kernel.slabs[0] = kernel.slabs[0]._replace(cache=0x1C0)
    other = kernel.slab([outer] * OBJECTS)
    broken = kernel.slab([outer, 0x10, outer])  # an obj_cgroup that is nowhere
    found = kernel.charged()
    assert set(found) == {*objects_of(other), broken, objects_of(broken)[2]}


@pytest.mark.parametrize("stride", [0, 4, 1 << 20])
def test_a_stride_that_cannot_be_says_nothing(stride: int) -> None:
    kernel, outer, _ = with_cgroups(LONG)
    kernel.slab([outer] * OBJECTS)
    kernel.put(0xFFFF_8880_0010_0000 + 16 * 64 + 20, stride, "<I")
    assert kernel.charged() == {}


def test_a_cgroup_that_was_removed_charges_its_parent() -> None:
    kernel, outer, inner = with_cgroups(ENTRIES)
    slab = kernel.slab([outer, inner])
    kernel.put(inner + CGROUP.memcg, kernel.u64(outer + CGROUP.memcg))
    assert kernel.charged() == dict.fromkeys(objects_of(slab, 2), (HIERARCHY, 7))


def test_the_cgroups_have_their_paths() -> None:
    kernel, outer, inner = with_cgroups(ENTRIES)
    kernel.slab([outer, inner, 0])
    cgroups = kernel.check().cgroups
    assert list(zip(cgroups["hierarchy"], cgroups["cgroup"], cgroups["path"], strict=True)) == [
        (HIERARCHY, 7, "/a"),
        (HIERARCHY, 8, "/a/b"),
    ]


def test_paths() -> None:
    kernel = Kernel(ENTRIES)
    walk: Any = kernel
    root = kernel.node(1, "")
    assert path_of(walk, CGROUP, root) == "/"
    assert path_of(walk, CGROUP, kernel.node(2, "\x1b[2J", root)) == "/\x1b[2J"
    nameless = kernel.node(3, "", root)
    assert path_of(walk, CGROUP, kernel.node(4, "x", nameless)) == ""
    circle = kernel.node(5, "x")
    kernel.put(circle + CGROUP.parent, circle)
    assert path_of(walk, CGROUP, circle) == ""


def test_without_time_nothing_is_claimed() -> None:
    kernel, outer, _ = with_cgroups(ENTRIES)
    kernel.slab([outer] * OBJECTS)
    assert kernel.charged(seconds=0) == {}


def test_so_many_rows_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge_check, "MOST_ROWS", 10)
    kernel, outer, _ = with_cgroups(ENTRIES)
    for _ in range(5):
        kernel.slab([outer] * OBJECTS)
    assert len(kernel.charged()) == 10


def test_a_cgroup_is_looked_up_once() -> None:
    kernel, outer, inner = with_cgroups(ENTRIES)
    for _ in range(20):
        kernel.slab([outer, inner] * 4)
    kernel.charged()
    assert kernel.peeked < 20 + 1 + 40  # entries, structs, and two cgroups with their paths


# ---- which kind of kernel it is ----------------------------------------------------------------------


class Types:
    """BTF with these structs, {struct: {field: (offset, width)}}."""

    def __init__(self, structs: dict[str, dict[str, tuple[int, int]]]) -> None:
        self._structs = structs

    def has_field(self, struct: str, field: str) -> bool:
        return field in self._structs.get(struct, {})

    def offsetof(self, struct: str, field: str) -> int:
        return self._structs[struct][field][0]

    def sizeof(self, struct: str) -> int:
        return max(offset + width for offset, width in self._structs[struct].values())

    def bit_of(self, struct: str, field: str) -> int:
        offset, width = self._structs[struct][field]
        return 8 * offset + width  # here the width of a bit is its place in the byte

    def width(self, struct: str, field: str) -> int | None:
        return self._structs[struct][field][1]


OF_CGROUPS: dict[str, dict[str, tuple[int, int]]] = {
    "obj_cgroup": {"memcg": (16, 8)},
    "mem_cgroup": {"css": (64, 200)},
    "cgroup_subsys_state": {"cgroup": (8, 8)},
    "cgroup": {"kn": (24, 8), "root": (40, 8)},
    "cgroup_root": {"hierarchy_id": (12, 4)},
    "kernfs_node": {"id": (32, 8), "parent": (8, 8), "name": (16, 8)},
}
SLAB = {"slab_cache": (8, 8)}
KINDS: dict[str, tuple[dict[str, dict[str, tuple[int, int]]], tuple[int, int, Stride, int]]] = {
    "5.10": ({"page": {"slab_cache": (24, 8), "obj_cgroups": (56, 8)}}, (64, 56, Stride(8), 0)),
    "5.15": ({"page": {"slab_cache": (24, 8), "memcg_data": (56, 8)}}, (64, 56, Stride(8), 0)),
    "6.1": (
        {"slab": SLAB | {"memcg_data": (56, 8)}, "page": {"memcg_data": (56, 8)}},
        (64, 56, Stride(8), 0),
    ),
    "6.12": (
        {"slab": SLAB | {"obj_exts": (56, 8)}, "slabobj_ext": {"objcg": (0, 8), "ref": (8, 8)}},
        (64, 56, Stride(16), 0),
    ),
    "7.3": (
        {
            "slab": SLAB
            | {"obj_exts": (56, 8), "obj_exts_in_object": (36, 0), "obj_exts_needs_objcg": (36, 1)},
            "slabobj_ext": {"_objcg": (0, 8)},
        },
        (64, 56, Stride(8, in_object=288), 0),
    ),
    "7.0": (
        {"slab": SLAB | {"obj_exts": (56, 8), "stride": (36, 2)}, "slabobj_ext": {"objcg": (0, 8)}},
        (64, 56, Stride(0, 36, 2), 0),
    ),
}  # fmt: skip


def shape_of(types: dict[str, dict[str, tuple[int, int]]]) -> ChargeShape | str:
    made: Any = Types(types)
    return examine(made)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_kernels(kind: str) -> None:
    types, (size, array, stride, objcg) = KINDS[kind]
    shape = shape_of(types | OF_CGROUPS)
    assert isinstance(shape, ChargeShape)
    assert (shape.size, shape.array, shape.stride, shape.objcg) == (size, array, stride, objcg)
    assert shape.has_entries == (289 if kind == "7.3" else None)
    assert shape.cgroup == CgroupShape(16, 72, 40, 12, 24, 32, 8, 16)


def test_the_parent_under_its_newer_name() -> None:
    node = {"kernfs_node": {"id": (32, 8), "__parent": (80, 8), "name": (16, 8)}}
    shape = shape_of(KINDS["6.12"][0] | OF_CGROUPS | node)
    assert isinstance(shape, ChargeShape)
    assert shape.cgroup == dataclasses.replace(shape.cgroup, parent=80)


def test_a_kernel_without_memory_cgroups() -> None:
    assert shape_of({"slab": SLAB, "page": {}} | OF_CGROUPS) == NO_CGROUPS
    no_slabs = {"slab": SLAB, "page": {"memcg_data": (56, 8)}}  # only pages of user space are charged
    assert shape_of(no_slabs | OF_CGROUPS) == NO_CGROUPS
    only_profiled = {"slab": SLAB | {"obj_exts": (56, 8)}, "slabobj_ext": {"ref": (0, 8)}}
    assert shape_of(only_profiled) == NO_CGROUPS


@pytest.mark.parametrize(
    "slab",
    [
        SLAB | {"obj_exts": (56, 8), "obj_exts_in_object": (36, 4)},
        SLAB | {"obj_exts": (56, 8), "stride": (36, 8)},
    ],
)
def test_what_is_unlike_every_kernel_that_is_known_is_not_read(slab: dict[str, tuple[int, int]]) -> None:
    types = {"slab": slab, "slabobj_ext": {"objcg": (0, 8)}}
    assert shape_of(types | OF_CGROUPS) == NOT_KNOWN


def test_entries_of_which_an_object_may_have_two_are_not_read() -> None:
    types, _ = KINDS["7.3"]
    profiled = {"slabobj_ext": {"_objcg": (0, 8), "_ctref": (0, 8)}}
    assert shape_of(types | OF_CGROUPS | profiled) == NOT_KNOWN


def test_entries_without_a_cgroup_are_not_read() -> None:
    assert shape_of({"slab": SLAB | {"obj_exts": (56, 8)}, "slabobj_ext": {}} | OF_CGROUPS) == NOT_KNOWN
