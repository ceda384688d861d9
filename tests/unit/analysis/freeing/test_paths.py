# SPDX-License-Identifier: Apache-2.0
"""The places that freed objects: call sites, and paths where stacks distinguish them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.analysis.freeing.paths import FreePaths, by_key
from slabtrace.analysis.freeing.releases import COLUMNS, Pairs
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import STACK_NOT_TAKEN
from tests.unit.synthetic import free, intern, sites_of

NAMES = {
    0x10: ("free_msg", ""), 0x20: ("do_msgrcv", ""), 0x30: ("__x64_sys_msgrcv", ""),
    0x40: ("do_syscall_64", ""), 0x50: ("kfree_skbmem", ""), 0x60: ("consume_skb", ""),
    0x70: ("udp_recvmsg", ""), 0x80: ("rx_drop", "drv"), 0x90: ("net_rx_action", ""),
    0xA0: ("inet_recvmsg", ""),
}  # fmt: skip
STACKS = {
    1: [0x10, 0x20, 0x30, 0x40],
    2: [0x10, 0x20, 0x40],  # the wrapper is inlined
    3: [0x50, 0x60, 0x70, 0xA0, 0x30, 0x40],
    4: [0x50, 0x80, 0x90],
}


def found(*frees: tuple[int, int, int]) -> list[dict[str, Any]]:
    """(call site, stack, objects) of each site of a free, all of one group."""
    _, columns = intern([free(n, 64, call_site=at, stack_id=stack) for n, (at, stack, _) in enumerate(frees)])
    rows = [
        {"address": at, "name": name, "offset": 1, "module": module, "since_ns": 0}
        for at, (name, module) in NAMES.items()
    ]
    symbols = Symbols(pa.Table.from_pylist(rows, schema.SYMBOLS))
    listed = [{"stack_id": each, "frames": frames} for each, frames in STACKS.items()]
    stacks = Stacks(pa.Table.from_pylist(listed, schema.STACKS), symbols)
    number, times = len(frees), np.arange(len(frees)) * 10
    objects = np.array([each[2] for each in frees])
    every = np.arange(number)
    pairs = Pairs(every * 0, every, objects, np.zeros((number, COLUMNS), np.int64), times + 5, times)
    paths = FreePaths(pairs, sites_of(columns), symbols, stacks)
    return [paths.entry(each, int(objects.sum()), 5, 5) for each in paths.places(every)]


def brief(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["path"], each["context"], each["objects"], each["stack_of"]) for each in entries]


def test_the_example() -> None:
    (entry,) = found((0x10, 1, 900), (0x10, STACK_NOT_TAKEN, 3900))
    expected = {"call_site": 0x10, "symbol": "free_msg+0x1", "module": "", "objects": 4800, "stack_of": 900}
    assert expected.items() <= entry.items()
    assert (entry["path"], entry["context"]) == (["free_msg", "do_msgrcv", "sys_msgrcv"], "task")
    assert (entry["share"], entry["last_ns"], entry["stopped"], entry["certain"]) == (1.0, 10, False, True)
    assert entry["stack"][:2] == ["free_msg+0x1", "do_msgrcv+0x1"]


def test_paths_of_a_call_site_are_apart_where_all_stacks_are_known() -> None:
    both = found((0x50, 4, 30), (0x50, 3, 70))
    assert brief(both) == [
        (["kfree_skbmem", "consume_skb", "udp_recvmsg"], "task", 70, 70),
        (["kfree_skbmem", "rx_drop [drv]"], "softirq NET_RX", 30, 30),
    ]
    assert [each["share"] for each in both] == [0.7, 0.3]


def test_with_sampled_stacks_they_are_one_with_what_is_known_of_each() -> None:
    (entry,) = found((0x50, 4, 30), (0x50, 3, 70), (0x50, STACK_NOT_TAKEN, 1000))
    assert brief([entry]) == [(["kfree_skbmem"], "", 1100, 100)]
    assert [(each["path"][1:], each["context"], each["objects"]) for each in entry["paths"]] == [
        (["consume_skb", "udp_recvmsg"], "task", 70),
        (["rx_drop [drv]"], "softirq NET_RX", 30),
    ]


def test_without_a_stack_it_is_the_call_site() -> None:
    assert brief(found((0x60, -1, 5))) == [(["consume_skb"], "", 5, 0)]
    assert brief(found((0x999, -1, 5))) == [(["?"], "", 5, 0)]


def test_as_few_as_the_missed_frees_are_not_certain() -> None:
    """Five frees were missed: five addresses may have been allocated unseen before they were freed there."""
    assert [each["certain"] for each in found((0x10, 1, 6), (0x60, -1, 5))] == [True, False]


def test_call_sites_with_most_objects_come_first() -> None:
    entries = found((0x10, 1, 5), (0x60, -1, 9), (0x10, 2, 2))
    assert [(each["symbol"], each["objects"]) for each in entries] == [
        ("consume_skb+0x1", 9), ("free_msg+0x1", 5), ("free_msg+0x1", 2),
    ]  # fmt: skip


def test_positions_by_key() -> None:
    found = by_key(np.array([3, 1, 3, -1]), [3, 2, 1])
    assert {key: each.tolist() for key, each in found.items()} == {3: [0, 2], 2: [], 1: [1]}
