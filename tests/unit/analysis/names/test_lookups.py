# SPDX-License-Identifier: Apache-2.0
"""Lookups: symbols, tasks, slabinfo samples, caches, address sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.analysis.names.cache_names import name_caches
from slabtrace.analysis.names.slabinfo import samples_by_cache
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.address_set import FIRST_BITS, AddressSet
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Flag
from tests.unit.synthetic import alloc, free, intern, sites_of


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema.SIDE_TABLES[name])


def symbol(address: int, name: str, since_ns: int, module: str = "", offset: int = 0x1A) -> dict[str, Any]:
    return {"address": address, "name": name, "offset": offset, "module": module, "since_ns": since_ns}


def test_a_symbol_is_function_offset_and_module() -> None:
    symbols = Symbols(table("symbols", [symbol(1, "kfree", 0), symbol(2, "do_it", 0, "ipc", 0)]))
    assert [symbols.name(address) for address in (1, 2, 0xABC)] == ["kfree+0x1a", "do_it+0x0 [ipc]", "0xabc"]


def test_an_address_has_the_symbol_of_its_time() -> None:
    symbols = Symbols(table("symbols", [symbol(1, "new", 200, "b"), symbol(1, "old", 100, "a")]))
    names = [symbols.name(1, at_ns) for at_ns in (50, 100, 199, 200, None)]
    assert names == ["old+0x1a [a]"] * 3 + ["new+0x1a [b]"] * 2


def test_a_task_gets_the_name_that_is_recorded_after_its_event() -> None:
    """The event came through another CPU's ring, and was read after the task had ended."""
    rows = [
        {"ts_ns": 10, "tid": 5, "tgid": 5, "comm": "sh"},
        {"ts_ns": 20, "tid": 5, "tgid": 5, "comm": "leaver"},
        {"ts_ns": 30, "tid": 5, "tgid": 5, "comm": ""},
        {"ts_ns": 40, "tid": 6, "tgid": 6, "comm": ""},
        {"ts_ns": 50, "tid": 6, "tgid": 6, "comm": "late"},
        {"ts_ns": 60, "tid": 5, "tgid": 7, "comm": ""},  # of another process
        {"ts_ns": 60 * 10**9, "tid": 6, "tgid": 6, "comm": ""},  # also after this long
    ]
    asked = [(5, 15), (5, 35), (6, 45), (6, 55), (5, 65), (6, 61 * 10**9)]
    assert names_of(Tasks(table("tasks", rows)), asked) == ["sh", "leaver", "late", "late", "", ""]


def test_a_stack_reads_innermost_first_and_an_unknown_one_is_empty() -> None:
    symbols = Symbols(table("symbols", [symbol(1, "inner", 0), symbol(2, "outer", 0)]))
    stacks = Stacks(table("stacks", [{"stack_id": 40, "frames": [1, 2]}]), symbols)
    assert stacks.names(40) == ["inner+0x1a", "outer+0x1a"]
    assert stacks.names(-1) == stacks.names(41) == []


def task(ts_ns: int, tid: int, tgid: int, comm: str) -> dict[str, Any]:
    return {"ts_ns": ts_ns, "tid": tid, "tgid": tgid, "comm": comm}


def names_of(tasks: Tasks, asked: list[tuple[int, int]]) -> list[str | None]:
    tid = np.array([tid for tid, _ in asked], np.uint32)
    ts_ns = np.array([ts for _, ts in asked], np.int64)
    return [None if row < 0 else tasks.comm[row] for row in tasks.rows(tid, ts_ns).tolist()]


def test_a_task_has_the_name_of_its_time() -> None:
    tasks = Tasks(
        table(
            "tasks",
            [task(10, 5, 5, "sh"), task(20, 6, 5, "worker"), task(30, 5, 5, "ls"), task(40, 5, 9, "reused")],
        )
    )
    asked = [(5, 10), (5, 29), (5, 30), (5, 39), (5, 99), (6, 25), (5, 1), (6, 1), (4, 20), (7, 20)]
    assert names_of(tasks, asked) == ["sh", "sh", "ls", "ls", "reused", "worker", "sh", "worker", None, None]


def test_without_the_table_no_task_is_known() -> None:
    assert names_of(Tasks(schema.TASKS.empty_table()), [(1, 1), (2, 2)]) == [None, None]


def test_tasks_are_found_as_by_a_loop() -> None:
    random = np.random.default_rng(1)
    rows = [task(int(random.integers(100)), int(random.integers(1, 9)), 1, f"n{i}") for i in range(60)]
    rows = list({(row["ts_ns"], row["tid"]): row for row in rows}.values())
    asked = [(int(random.integers(1, 11)), int(random.integers(110))) for _ in range(500)]

    def slowly(tid: int, ts_ns: int) -> str | None:
        mine = sorted((row["ts_ns"], row["comm"]) for row in rows if row["tid"] == tid)
        past = [comm for ts, comm in mine if ts <= ts_ns]
        return past[-1] if past else (mine[0][1] if mine else None)

    assert names_of(Tasks(table("tasks", rows)), asked) == [slowly(*each) for each in asked]


def test_a_cache_keeps_its_last_slabinfo_sample_until_the_next() -> None:
    def row(ts_ns: int, name: str, active: int, room: int) -> dict[str, Any]:
        rest = {"objsize": 64, "objperslab": 1, "pagesperslab": 1, "num_slabs": 1}
        return {"ts_ns": ts_ns, "name": name, "active_objs": active, "num_objs": room, **rest}

    samples = samples_by_cache(
        table("slabinfo", [row(10, "a", 5, 8), row(10, "b", 1, 1), row(20, "a", 7, 16), row(30, "a", 6, 16)])
    )
    assert samples["a"].change == 1
    assert samples["b"].change == 0
    a = samples["a"]
    assert a.num_objs[a.rows_at(np.array([0, 10, 19, 20, 99]))].tolist() == [8, 8, 8, 16, 16]


def test_caches_are_named_by_table_flag_or_address() -> None:
    events = [
        alloc(1, 0x10, cache=0xC0),
        alloc(2, 0x20, cache=0, flags=Flag.LARGE),
        alloc(3, 0x30, cache=0, flags=Flag.CACHE_UNKNOWN),
        free(4, 0x40, cache=0xDEAD),
        alloc(5, 0x50, cache=0xC1),
    ]
    _, columns = intern(events)
    rest = {
        "object_size": 8,
        "size": 8,
        "slab_flags": 0,
        "order": 0,
        "objects_per_slab": 1,
        "reclaimable": False,
    }
    rows = [
        {"cache": address, "name": "twice", "aliases": ["also"], "first_seen_ns": 0, **rest}
        for address in (0xC0, 0xC1)  # destroyed and created again
    ]
    caches = name_caches(table("caches", rows), sites_of(columns), ["slabinfo only", "twice"])
    assert [caches.names[row] for row in caches.of_site.tolist()] == [
        "twice", "(large kmalloc)", "(unknown)", "(cache at 0xdead)", "twice"
    ]  # fmt: skip
    assert caches.names.count("twice") == 1
    assert caches.names[-1] == "slabinfo only"


def test_an_address_set_has_all_added_addresses_after_it_grows() -> None:
    random = np.random.default_rng(2)
    mine: set[int] = set()
    addresses = AddressSet()
    for _ in range(60):
        added = np.unique(random.integers(1, 1 << 17, 5_000)).astype(np.uint64) * np.uint64(64)
        addresses.add(added)
        mine.update(added.tolist())
    assert len(mine) > 4 << FIRST_BITS, "the table grew"
    asked = np.arange(0, 64 << 17, 64, dtype=np.uint64)
    assert addresses.contains(asked).tolist() == [address in mine for address in asked.tolist()]
    assert len(addresses) == len(mine)


def test_an_empty_address_set_has_no_address() -> None:
    addresses = AddressSet()
    assert not addresses.contains(np.array([0, 64], np.uint64)).any()
    assert len(addresses) == 0
