# SPDX-License-Identifier: Apache-2.0
"""What is left in buffers, names and registers is no holder."""

from __future__ import annotations

import pytest

from slabtrace.capture.inspecting.holders.data import DataPlaces
from slabtrace.capture.inspecting.holders.units import Pointer, Unit
from slabtrace.capture.inspecting.layout import Layout

BUFFER, PACKET, SEQ_FILE, OTHER = 0x1000, 0x2000, 0x3000, 0x4000
TASK, MESSAGE, PATH, DENTRY = 0x5000, 0x6000, 0x7000, 0x8000
KINDS = {
    PACKET: "sk_buff", SEQ_FILE: "seq_file", TASK: "task", MESSAGE: "message", PATH: "names_cache",
    DENTRY: "dentry",
}  # fmt: skip
OFFSETS = {"sk_buff.head": 200, "sk_buff.end": 188, "seq_file.buf": 0}
SIZES = {"task_struct": 4096, "msg_msg": 48}
NAMES = {(TASK, 512): "task_struct.comm", (TASK, 2048): "task_struct.thread.fpu.last_cpu",
         (TASK, 64): "task_struct.files", (DENTRY, 56): "dentry.d_iname"}  # fmt: skip
END = 704


class Naming:
    def kind_of(self, address: int) -> str:
        return KINDS.get(address, "kmalloc-1k")

    def field_of(self, address: int, offset: int) -> str:
        return NAMES.get((address, offset), "")


class Fields:
    def offset_of(self, name: str) -> int | None:
        return OFFSETS.get(name)

    def size(self, struct: str) -> int | None:
        return SIZES.get(struct)


def unit(address: int) -> Unit:
    return Unit(address, 1, None)


def has(at: int, offset: int, *by: tuple[int, int, int]) -> bool:
    """`by`: (holder, offset, inside) of pointers to the object at `at`."""
    places = DataPlaces(Naming(), Layout(Fields()), {PACKET + 188: 0x5 << 32 | END}.__getitem__)  # type: ignore[arg-type]
    return places.has(unit(at), offset, [Pointer(unit(of), place, inside) for of, place, inside in by])


@pytest.mark.parametrize(
    ("offset", "by", "data"),
    [
        (END - 8, (PACKET, 200, 0), True),
        (END, (PACKET, 200, 0), False),  # skb_shared_info
        (END - 8, (PACKET, 192, 0), False),  # another field of a packet
        (END - 8, (PACKET, 200, 64), False),  # into the middle
        (4088, (SEQ_FILE, 0, 0), True),
        (4088, (SEQ_FILE, 24, 0), False),
        (END - 8, (OTHER, 200, 0), False),
    ],
)
def test_a_buffer_is_known_by_who_points_at_it(offset: int, by: tuple[int, int, int], data: bool) -> None:
    assert has(BUFFER, offset, (OTHER, 8, 0), by) is data


@pytest.mark.parametrize(
    ("at", "offset", "data"),
    [
        (TASK, 512, True), (TASK, 2048, True), (TASK, 64, False), (TASK, 4096, True), (TASK, 4088, False),
        (MESSAGE, 48, True), (MESSAGE, 40, False), (PATH, 0, True), (DENTRY, 56, True), (DENTRY, 8, False),
    ],
)  # fmt: skip
def test_a_thing_has_data_in_fields_or_behind_them(at: int, offset: int, data: bool) -> None:
    assert has(at, offset) is data


def test_an_area_that_is_no_object_is_not_judged() -> None:
    places = DataPlaces(Naming(), Layout(Fields()), int)  # type: ignore[arg-type]
    assert not places.has(Unit(PATH, 0, None), 0, [])
