# SPDX-License-Identifier: Apache-2.0
"""Contexts of sites and groups, where stacks are known, sampled, mixed or missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.trace.format.schema import STACK_NOT_TAKEN
from tests.unit.synthetic import Event, alloc, free, write_trace

SITE, OTHER = 0x100, 0x200
NAMES = {
    SITE: "__alloc_skb", 0x10: "icmp_rcv", 0x11: "net_rx_action", 0x12: "do_softirq", 0x13: "sendto",
    0x14: "do_syscall_64", 0x15: "wb_workfn", 0x16: "process_one_work", 0x17: "kthread",
    0x18: "blk_done_softirq",
}  # fmt: skip
STACKS = {
    1: [SITE, 0x10, 0x11, 0x12, 0x13, 0x14],  # a softirq on top of a system call
    2: [SITE, 0x13, 0x14],
    3: [SITE, 0x15, 0x16, 0x17],
    4: [SITE, 0x18, 0x12],
    5: [SITE, 0x10, 0x10],
    6: [SITE, 0x10, 0x11, 0x12, 0x17],
}


def opened(folder: Path, *parts: list[Event]) -> Any:
    symbols = [
        {"address": at, "name": name, "offset": 1, "module": "", "since_ns": 0} for at, name in NAMES.items()
    ]
    stacks = [{"stack_id": each, "frames": frames} for each, frames in STACKS.items()]
    events = [replace(event, ts=ts) for ts, event in enumerate(each for part in parts for each in part)]
    return slabtrace.open(write_trace(folder / "t.slab", events, {"symbols": symbols, "stacks": stacks}))


def made(number: int, stack_id: int, freed: int = 0, call_site: int = SITE) -> list[Event]:
    first = 0x10000 * (stack_id + 100) + call_site
    events = [alloc(0, first + 64 * n, call_site=call_site, stack_id=stack_id) for n in range(number)]
    return events + [free(0, first + 64 * n) for n in range(freed)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([made(3, 1)], ["softirq NET_RX"]),
        ([made(3, 5)], [""]),
        ([made(3, -1)], [""]),
        ([made(3, STACK_NOT_TAKEN)], [""]),
        ([made(3, 1), made(90, STACK_NOT_TAKEN)], ["softirq NET_RX"]),  # the only stack that was sampled
        ([made(3, 1), made(2, 6), made(90, STACK_NOT_TAKEN)], ["softirq NET_RX"]),  # both agree
        ([made(3, 1), made(2, 4), made(90, STACK_NOT_TAKEN)], ["softirq"]),
        ([made(3, 1), made(2, 2), made(90, STACK_NOT_TAKEN)], [""]),
        # what was freed shows that the call site has other contexts: those of unknown stacks may be such
        ([made(3, 1), made(2, 2, freed=2), made(90, STACK_NOT_TAKEN)], [""]),
        ([made(3, 1), made(2, 2)], ["softirq NET_RX", "task"]),
    ],
)
def test_contexts_by_stack(tmp_path: Path, parts: list[list[Event]], expected: list[str]) -> None:
    assert sorted(opened(tmp_path, *parts).leaks()["context"]) == sorted(expected)


def test_groups_by_context_count_their_freed_objects(tmp_path: Path) -> None:
    trace = opened(tmp_path, made(5, 1, freed=2), made(9, 6, freed=9), made(4, 2), made(3, 3), made(2, -1))
    groups = trace.leaks(by="work").set_index("context")[["outstanding", "freed"]]
    found = {
        context: tuple(row) for context, row in zip(groups.index, groups.to_numpy().tolist(), strict=True)
    }
    expected = {"softirq NET_RX": (3, 11), "task": (4, 0), "work item wb_workfn": (3, 0), "": (2, 0)}
    assert found == expected


def test_a_cache_of_one_context(tmp_path: Path) -> None:
    assert opened(tmp_path, made(5, 2), made(5, 1)).leaks(by="cache")["context"].tolist() == [""]
