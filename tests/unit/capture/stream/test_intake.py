# SPDX-License-Identifier: Apache-2.0
"""Slots become columns; sites are numbered once each, in the order they appear."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slabtrace.capture.programs.layout import event_dtype, header_numbers
from slabtrace.capture.stream.intake import CAPACITY, CacheEnd, Intake, TaskName
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.format.schema import STACK_NOT_TAKEN, Flag, Kind

DTYPE = event_dtype()
SITE_FIELDS = (
    "call_site", "cache", "bytes_req", "bytes_alloc", "gfp_flags", "stack_id", "node", "kind", "flags",
)  # fmt: skip


def slots(count: int, **columns: Any) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Rows as they lie in a ring."""
    rows = np.zeros(count, dtype=DTYPE)
    for name, values in columns.items():
        rows[name] = values
    return rows.view(np.uint64).reshape(count, -1)


small = st.integers(0, 3)
events = st.lists(st.fixed_dictionaries(dict.fromkeys(SITE_FIELDS, small)), min_size=1, max_size=60)


@given(st.lists(events, max_size=4))
@settings(max_examples=60)
def test_a_site_is_a_distinct_combination(chunks: list[list[dict[str, int]]]) -> None:
    table, known = SiteTable(), []
    for chunk in chunks:
        columns = {name: [event[name] for event in chunk] for name in SITE_FIELDS}
        numbers = table.intern(slots(len(chunk), **columns))
        known += [tuple(int(row[name]) for name in SITE_FIELDS) for row in table.take_new()]
        for event, number in zip(chunk, numbers.tolist(), strict=True):
            assert known[number] == tuple(event[name] for name in SITE_FIELDS)
    assert len(set(known)) == len(known) == len(table)


def test_more_sites_than_the_first_table_holds() -> None:
    table = SiteTable()
    call_sites = np.arange(200_003, dtype=np.uint64)
    rows = slots(len(call_sites), call_site=call_sites)
    first = np.concatenate([table.intern(rows[i : i + 8192]) for i in range(0, len(rows), 8192)])
    again = np.concatenate([table.intern(rows[i : i + 8192]) for i in range(0, len(rows), 8192)])
    assert len(np.unique(first)) == len(call_sites)
    assert (first == again).all()
    new = table.take_new()
    assert (new["call_site"][first] == call_sites).all()


def test_columns_are_those_of_the_slots() -> None:
    intake = Intake(SiteTable())
    intake.accept(slots(3, ts_ns=[5, 6, 7], ptr=[80, 88, 96], tid=[11, 12, 12], tgid=[10, 10, 10]), cpu=1)
    intake.accept(slots(1, ts_ns=[6], ptr=[104], tid=[13], tgid=[13], kind=[0x11]), cpu=0)
    batch = intake.take()
    assert batch.ts_ns.tolist() == [5, 6, 7, 6]
    assert batch.ptr.tolist() == [80, 88, 96, 104]
    assert batch.site.tolist() == [0, 0, 0, 1]
    assert batch.tid.tolist() == [11, 12, 12, 13]
    assert batch.cpu.tolist() == [1, 1, 1, 0]
    assert intake.room == CAPACITY


def test_names_of_tasks_are_told_apart_from_events() -> None:
    intake = Intake(SiteTable())
    comm = np.frombuffer(b"kworker/0:1\0\xff\xff\xff\xff", dtype="<u8")
    named = header_numbers("event.h")["SLAB_TASK_COMM"]
    rows = slots(
        2,
        ts_ns=[4, 5],
        tid=[21, 21],
        tgid=[20, 20],
        kind=[named, 1],
        ptr=[comm[0], 64],
        call_site=[comm[1], 0],
    )
    intake.accept(rows, cpu=0)
    assert intake.task_names == [TaskName(4, 21, 20, "kworker/0:1")]
    assert intake.take_others().unnamed == []
    assert intake.take().ptr.tolist() == [64]


def test_the_end_of_a_cache_is_no_event() -> None:
    intake, ended = Intake(SiteTable()), header_numbers("event.h")["SLAB_CACHE_END"]
    name = np.frombuffer(b"things \xff of a module\0left over".ljust(40, b"!"), "<u8")
    rows = slots(3, ts_ns=[4, 5, 6], ptr=[64, 0xC40, 72], kind=[1, ended, 1])
    rows[1, 2:7] = name
    intake.accept(rows, cpu=0)
    assert intake.take().ptr.tolist() == [64, 72]
    others = intake.take_others()
    assert (
        others.cache_ends == [CacheEnd(5, 0xC40, "things \\xff of a module")]
        and not others.processes
        and not others.names
    )
    assert intake.take_others().cache_ends == []


def test_many_names_in_a_row_keep_their_order_and_bytes() -> None:
    """Also those that are no text; a name of all 16 bytes has no end."""
    intake, named = Intake(SiteTable()), header_numbers("event.h")["SLAB_TASK_COMM"]
    comms = [b"a" * 16, b"\xff\xfe" + bytes(14), bytes(16), b"evil\x1b[2J" + bytes(8)] * 5
    halves = np.frombuffer(b"".join(each[:16] for each in comms), "<u8").reshape(-1, 2)
    count = len(comms)
    intake.accept(
        slots(count, ts_ns=range(count), tid=[9] * count, tgid=range(100, 100 + count), kind=[named] * count,
              ptr=halves[:, 0], call_site=halves[:, 1]),
        cpu=0,
    )  # fmt: skip
    texts = ["a" * 16, "\\xff\\xfe", "", "evil\x1b[2J"] * 5
    assert intake.task_names == [TaskName(i, 9, 100 + i, text) for i, text in enumerate(texts)]
    intake.accept(slots(1, ts_ns=[99], tid=[9], tgid=[99 + count]), cpu=0)
    assert intake.take_others().unnamed == []  # of one task, the last one counts


def test_a_task_nobody_named_is_noticed_once() -> None:
    intake = Intake(SiteTable())
    intake.knows(30, 30)
    intake.accept(slots(4, ts_ns=[1, 2, 3, 4], tid=[30, 31, 31, 30], tgid=[30, 30, 30, 30]), cpu=0)
    assert intake.take_others().unnamed == [TaskName(2, 31, 30, "")]


def test_a_full_table_distinguishes_what_the_kernel_has_not_what_users_choose() -> None:
    """Every size from 1 to 30,011 bytes, each with a stack of its own: 101 of them are distinguished."""
    size = np.arange(1, 30_012)
    table = SiteTable(101)
    bytes_alloc = 1 << np.ceil(np.log2(np.maximum(size, 8))).astype(int)
    columns: dict[str, Any] = {"bytes_req": size, "bytes_alloc": bytes_alloc, "stack_id": size}
    rows = slots(len(size), kind=Kind.KMALLOC, call_site=4096, **columns)
    numbers = np.concatenate([table.intern(rows[i : i + 8192]) for i in range(0, len(rows), 8192)])
    frees = table.intern(slots(2, kind=Kind.KFREE, call_site=[8, 16], stack_id=-1))
    sites = table.take_new()
    alloc = sites[numbers]
    assert (alloc["bytes_alloc"] == bytes_alloc).all() and (alloc["call_site"] == 4096).all()
    fine = alloc["flags"] == 0
    assert fine[:8192].sum() == fine.sum() == 101
    assert (alloc["bytes_req"] == np.where(fine, size, bytes_alloc)).all()
    assert (alloc["stack_id"] == np.where(fine, size, STACK_NOT_TAKEN)).all()
    assert (alloc["flags"] == np.where(fine, 0, Flag.COARSE)).all()
    assert len(sites) == len(table) == 101 + len(set(bytes_alloc[~fine])) + 2
    assert (sites[frees]["call_site"] == [8, 16]).all() and (sites[frees]["stack_id"] == -1).all()
    assert (table.intern(rows[-8192:]) == numbers[-8192:]).all()
