# SPDX-License-Identifier: Apache-2.0
"""The parts of memory, and what is said of them: answers by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.memory.account import account, counters, facts, over_time
from slabtrace.analysis.memory.parts import NAMES, parts
from slabtrace.analysis.memory.series import MOST, from_table
from slabtrace.analysis.memory.words import all_sentences
from slabtrace.trace.format import schema
from tests.unit.analysis.memory.made import BEFORE, MIB, PARTS, series

S = 10**9


def test_every_page_is_in_one_part() -> None:
    found = {name: float(each[0]) / MIB for name, each in parts(series({})).items()}
    assert found == PARTS
    assert sum(found.values()) == 1000


def test_without_slabinfo_large_kmalloc_is_in_slab_and_not_known() -> None:
    made = series({})
    made.counters.pop("slab.dentry"), made.counters.pop("slab.kmalloc-1k")  # type: ignore[attr-defined]
    found = parts(made)
    assert found["slab"][0] / MIB == 108
    assert np.isnan(found["large kmalloc"][0])
    assert found["not counted"][0] / MIB == 32


def test_stacks_that_are_not_vmalloc_are_not_taken_from_it() -> None:
    found = parts(series({"vmalloc.kernel_clone+0xb8": 0, "vmalloc.load_module+0x1": 26}))
    assert found["vmalloc"][0] / MIB == 46


def test_the_change_of_each_part_and_item() -> None:
    made = series({}, {"meminfo.MemFree": 396, "meminfo.Slab": 208, "slab.kmalloc-1k": 160})
    found = account(made, {"kmalloc-1k": 99 * MIB, "dentry": 1 * MIB})
    rows = {(row["part"], row["item"]): row for row in found.to_dict("records")}
    assert rows["slab", ""]["change"] == rows["slab", "kmalloc-1k"]["change"] == 100 * MIB
    assert rows["free", ""]["change"] == -100 * MIB
    assert rows["not counted", ""]["change"] == 0
    assert (rows["slab", ""]["traced"], rows["slab", "kmalloc-1k"]["traced"]) == (100 * MIB, 99 * MIB)
    assert np.isnan(rows["vmalloc", ""]["traced"])
    assert list(found.loc[found["item"] == "", "part"]) == list(NAMES)
    assert set(found["class"]) == {""}


def test_growth_of_dying_cgroups_is_no_slab_leak() -> None:
    before = {"cgroups.memory": 110, "cgroups.memory.directories": 10}
    after = {
        "meminfo.MemFree": 496 - 310, "meminfo.Percpu": 20 + 212, "meminfo.Slab": 112, "slab.kmalloc-1k": 64,
        "meminfo.AnonPages": 194, "cgroups.memory": 5310,
    }  # fmt: skip
    made = series(before, after, seconds=(0, 60))
    first, second, third = all_sentences(account(made), made, [])
    assert first == (
        "Memory in use grew by 310.0 MiB in 1 min 00 s: percpu +212.0 MiB, user +94.0 MiB; "
        "slab is 4.0 MiB of it: not a slab leak."
    )
    assert second == (
        "Percpu: 5,310 memory cgroups (+5,200); 5,300 of them dying (+5,200). See docs/account.md#percpu."
    )
    assert third.startswith("User: +94.0 MiB")


def test_what_shrank_meanwhile_is_named_too() -> None:
    made = series({}, {"meminfo.MemFree": 468, "meminfo.AnonPages": 150, "meminfo.Hugetlb": 0})
    first = all_sentences(account(made), made, [])[0]
    assert first.startswith(
        "Memory in use grew by 28.0 MiB in 1 s: user +50.0 MiB, hugepages -22.0 MiB; slab"
    )
    made = series({}, {"meminfo.MemFree": 518, "meminfo.Hugetlb": 0})
    (sentence,) = all_sentences(account(made), made, [])
    assert sentence == "Memory in use shrank by 22.0 MiB in 1 s: hugepages -22.0 MiB."


def test_growth_of_slab_is_named_by_cache() -> None:
    made = series({}, {"meminfo.MemFree": 476, "meminfo.Slab": 128, "slab.kmalloc-1k": 80})
    first, second = all_sentences(account(made), made, [])
    assert first == "Memory in use grew by 20.0 MiB in 1 s: slab +20.0 MiB."
    assert second == "Slab: kmalloc-1k +20.0 MiB. See docs/account.md#slab."


def test_pages_that_nothing_counts_are_named_and_pipes_that_hold_them() -> None:
    made = series({"pipes.bytes": 1}, {"meminfo.MemFree": 446, "pipes.bytes": 49})
    first, second = all_sentences(account(made), made, ["/proc/vmallocinfo: Permission denied"])[:2]
    assert first.startswith("Memory in use grew by 50.0 MiB in 1 s: not counted +50.0 MiB; slab is 0 B of it")
    assert second == "Not counted: pipes hold 48.0 MiB more. See docs/account.md#not-counted."


def test_page_cache_is_no_memory_in_use() -> None:
    made = series({}, {"meminfo.MemFree": 396, "meminfo.Cached": 230})
    (sentence,) = all_sentences(account(made), made, [])
    assert sentence == "Memory in use did not change by more than 1.0 MiB in 1 s."
    assert facts(made).in_use == (390 * MIB, 390 * MIB)


def test_without_counters_there_is_a_sentence_and_no_row() -> None:
    made = from_table(schema.MEMORY.empty_table(), (0, S))
    assert account(made).empty and over_time(made, 0).empty and counters(made).empty
    assert all_sentences(account(made), made, []) == [
        "The kernel's counters of memory were not recorded (traces before format 2.3 have none)."
    ]


def test_rows_hold_until_the_next_and_count_from_before_the_window() -> None:
    rows = [(1, "a", 10), (1, "b", 5), (3, "a", 11), (4, "c", 7), (9, "a", 99)]
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(schema.MEMORY.names)})
    made = from_table(table.cast(schema.MEMORY), (2, 6))
    assert made.ts_ns.tolist() == [2, 3, 4, 6]
    assert made.of("a").tolist() == [10, 11, 11, 11]
    assert made.of("b").tolist() == [5, 5, 5, 5]
    assert np.isnan(made.of("c")[:2]).all() and made.of("c")[2:].tolist() == [7, 7]


def test_a_caller_that_is_new_had_nothing_before() -> None:
    made = series({}, {"vmalloc.nft_set+0x1": 5, "meminfo.VmallocUsed": 61})
    found = account(made)
    (row,) = found[found["item"] == "nft_set+0x1"].to_dict("records")
    assert (row["before"], row["change"]) == (0, 5 * MIB)


def test_what_is_left_is_not_known_without_the_large_counters() -> None:
    made = series({}, {"meminfo.MemFree": 400})
    made.counters.pop("meminfo.AnonPages")  # type: ignore[attr-defined]
    assert np.isnan(parts(made)["not counted"]).all()


def test_a_long_recording_has_few_times() -> None:
    number = 5000
    columns = {"ts_ns": range(number), "counter": ["a"] * number, "value": range(number)}
    made = from_table(pa.table({k: list(v) for k, v in columns.items()}).cast(schema.MEMORY), (0, number))
    assert len(made.ts_ns) == MOST
    assert (made.of("a") == made.ts_ns).all()
    assert made.ts_ns[[0, -1]].tolist() == [0, number - 1]


def test_over_time_has_every_part_at_every_time() -> None:
    found = over_time(series({}, {"meminfo.MemFree": 495}), 0)
    assert len(found) == 2 * len(NAMES)
    free = found[found["part"] == "free"]
    assert (free["bytes"] / MIB).tolist() == [500, 499]
    assert free["ts_ns"].tolist() == [0, S]


@pytest.mark.parametrize("missing", sorted(BEFORE))
def test_a_counter_that_is_missing_breaks_nothing(missing: str) -> None:
    made = series({}, {"meminfo.MemFree": 400})
    made.counters.pop(missing)  # type: ignore[attr-defined]
    assert all_sentences(account(made), made, [])
