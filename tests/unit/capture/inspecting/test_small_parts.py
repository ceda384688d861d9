# SPDX-License-Identifier: Apache-2.0
"""/proc/iomem, /proc/allocinfo, ranges in pieces, strings, addresses to objects, rows with long texts."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.capture.inspecting import allocinfo
from slabtrace.capture.inspecting.answers import MOST_TEXT, rows
from slabtrace.capture.inspecting.holders.chains import Chain, Step
from slabtrace.capture.inspecting.holders.files import pointers
from slabtrace.capture.inspecting.inspector import Thing
from slabtrace.capture.inspecting.memory import LONGEST, MOST_BYTES, KernelMemory, pieces, strings
from slabtrace.capture.inspecting.physical import parse_iomem
from slabtrace.errors import CaptureError
from slabtrace.trace.format.batch import Int64, UInt64
from slabtrace.trace.format.schema import Held
from tests.unit.capture.inspecting.made_up import BASE, Memory, cache, scene

IOMEM = """00001000-0009fbff : System RAM
00100000-bfffffff : System RAM
  01000000-02277287 : Kernel code
  03000000-0327c17f : Kernel data
c0000000-cfffffff : PCI Bus 0000:00
100000000-1ffffffff : System RAM
"""


def test_iomem_names_memory_and_the_parts_of_the_kernel() -> None:
    physical = parse_iomem(IOMEM)
    assert physical.ram == [range(0x1000, 0x9FC00), range(0x100000, 0xC0000000), range(1 << 32, 2 << 32)]
    assert physical.image["Kernel data"] == range(0x3000000, 0x327C180)
    assert physical.total == 0x9EC00 + 0xBFF00000 + (1 << 32)


def test_hidden_addresses_are_said() -> None:
    with pytest.raises(CaptureError, match="does not show where memory is"):
        parse_iomem("00000000-00000000 : System RAM\n  00000000-00000000 : Kernel data\n")


def test_allocinfo_has_rows_with_and_without_module_and_others_are_left_out() -> None:
    text = """allocinfo - version: 1.0
#     <size>  <calls> <tag info>
       0        0 init/main.c:1310 func:do_initcalls
   12288        3 kernel/workqueue.c:4771 func:alloc_workqueue
     640       10 drivers/net/it.c:12 [it] func:it_probe
  nonsense
"""
    assert list(allocinfo.parse(text)) == [
        allocinfo.Allocation(12288, 3, "kernel/workqueue.c:4771", "", "alloc_workqueue"),
        allocinfo.Allocation(640, 10, "drivers/net/it.c:12", "it", "it_probe"),
    ]


def test_a_long_range_is_cut_into_pieces_that_cover_it() -> None:
    begin, length = pieces(np.array([BASE, 8], np.uint64), np.array([2 * LONGEST + 24, 16]))
    assert begin.tolist() == [BASE, BASE + LONGEST, BASE + 2 * LONGEST, 8]
    assert length.tolist() == [LONGEST, LONGEST, 24, 16]


def test_a_string_at_the_end_of_memory_is_read_as_far_as_it_goes() -> None:
    memory = Memory(64)
    memory.put_bytes(BASE, b"short\0" + b"x" * 10)
    memory.put_bytes(BASE + 56, b"at end\0\0")
    addresses = np.array([BASE, BASE + 56, 0], np.uint64)
    assert strings(memory, addresses, 32) == ["short", "at end", ""]


def test_an_address_leads_to_its_object_and_others_to_none() -> None:
    it = cache(BASE + 0x100, "it", 96)  # 42 objects, then 64 bytes that belong to none
    where = scene(Memory(), {}, (BASE + 0x4000, it)).where
    asked = [BASE + 0x4000, BASE + 0x4000 + 95, BASE + 0x4000 + 96 * 42 - 1, BASE + 0x4000 + 96 * 42, 0]
    starts = [BASE + 0x4000, BASE + 0x4000, BASE + 0x4000 + 96 * 41, 0, 0]
    assert where.find(np.array(asked, np.uint64)).object.tolist() == starts
    assert [where.one(each)[0] for each in asked] == starts


def test_rows_are_bounded_and_say_nothing_of_what_is_free() -> None:
    things = [
        Thing(BASE, "filp", 192, True, "file", "x" * 1000, 3),
        Thing(BASE + 192, "filp", 192, False, "", "", None),
        Thing(BASE + 384, "kmalloc-64", 64, True, "", "", None),
    ]
    step = Step("y" * 1000, "in", BASE + 4096, "slab")
    chains = {each.address: Chain((step,), Held.OWNER) for each in things}
    held, free, by_holder = rows(things, chains, {BASE + 384: "fsnotify event", BASE + 192: "fsnotify event"})
    assert len(held.description) == MOST_TEXT and len(held.holders[0]) == MOST_TEXT
    assert held.holder == BASE + 4096 and held.held == Held.OWNER
    assert (free.kind, free.held, free.holders, free.holder) == ("", Held.NOTHING, (), 0)
    assert by_holder.kind == "fsnotify event"


class TornMemory(KernelMemory):
    """Three pages from BASE on, of which the second cannot be read."""

    def __init__(self) -> None:
        self._words = np.zeros(MOST_BYTES // 8, np.uint64)
        self.asked: list[tuple[int, int]] = []

    def _run(self, address: UInt64, length: Int64) -> Int64:
        at, status = 0, []
        for begin, size in zip(address.tolist(), length.tolist(), strict=True):
            self.asked.append((begin, size))
            torn = begin < BASE + 8192 and begin + size > BASE + 4096
            status.append(-14 if torn else 0)
            self._words[at // 8 : (at + size) // 8] = 7
            at += size
        return np.array(status, np.int64)


@pytest.mark.parametrize(("begin", "length", "readable"), [(BASE, 8200, 4104), (BASE + 64, 12216, 8120)])
def test_of_a_range_with_a_page_that_is_missing_the_rest_is_read_and_nothing_behind_it(
    begin: int, length: int, readable: int
) -> None:
    memory = TornMemory()
    chunks = [
        (int(chunk.words.sum()) // 7 * 8, chunk.unread, chunk.address.tolist())
        for chunk in memory.chunks(np.array([begin], np.uint64), np.array([length]))
    ]
    assert [each[0] for each in chunks] == [0, readable]
    assert sum(each[1] for each in chunks) == length + 4096
    assert max(at + size for at, size in memory.asked) == begin + length


def test_where_no_pointer_can_be_none_is_read() -> None:
    assert not pointers(TornMemory(), BASE + 3, 1025).any()


def test_a_table_of_which_a_page_is_missing_is_read_for_the_rest() -> None:
    found = pointers(TornMemory(), BASE, 1025)
    assert (np.flatnonzero(found == 7).tolist(), len(found)) == ([*range(512), 1024], 1025)
