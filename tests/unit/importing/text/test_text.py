# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501  (forms are as long as they are)
"""Every form of a line, with its fields as a person reads them; lines over block boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slabtrace.importing.formats import sources
from slabtrace.importing.records import NO_CPU, NO_TIME, Site, Symbol, Task
from tests.unit.importing.imports import alloc, free, line, read

TAIL = "call_site=ffffffff81234567 ptr=ffff888004205500 bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL"
PTR, ADDRESS = 0xFFFF888004205500, 0xFFFFFFFF81234567
SITE = Site("kmalloc", ADDRESS, None, 60, 64, 0xCC0)
NAMED = Site("kmalloc", 0, Symbol("do_it", 0x70, "my_mod"), 60, 64, 0xCC0)
FORMS = [  # the line, ns, CPU, task, site
    (f"  bash-844   [001] .... 5.000007: kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 0, "bash"), SITE),
    (f"  bash-844   [001]  5.000007: kmalloc:    {TAIL}", 5_000_007_000, 1, Task(844, 0, "bash"), SITE),
    (f"a b-c:d-844 (    40) [001] d..s1.. 5.000007: kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 40, "a b-c:d"), SITE),
    (f"bash-844 (-----) [001] .... 5.000007: kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 0, "bash"), SITE),
    (f"  <...>-844 [010] .... 5.000007: kmalloc: {TAIL}", 5_000_007_000, 10, Task(844, 0, ""), SITE),
    (f"jbd2/sda-8--844 [001] .... 5.000007: kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 0, "jbd2/sda-8-"), SITE),
    (f"[0] 1.234567: -844 [001] .... 5.000007: kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 0, "[0] 1.234567: "), SITE),
    (f"bash 844 [001] 5.000007: kmem:kmalloc: {TAIL}", 5_000_007_000, 1, Task(844, 0, "bash"), SITE),
    (f"bash 40/844 [001] 5.000000007:    kmem:kmalloc: {TAIL}", 5_000_000_007, 1, Task(844, 40, "bash"), SITE),
    (f"  5.000007: kmalloc: {TAIL}", 5_000_007_000, NO_CPU, Task(), SITE),
    (f"kmalloc:   {TAIL}", NO_TIME, NO_CPU, Task(), SITE),
    (
        f"bash-844 [001] .... 5.000007: kmalloc: (do_it+0x70) {TAIL}", 5_000_007_000, 1, Task(844, 0, "bash"),
        SITE._replace(symbol=Symbol("do_it", 0x70)),
    ),
    (
        "bash-844 [001] .... 5.000007: kmalloc: call_site=do_it+0x70/0xb0 [my_mod] ptr=0xffff888004205500 "
        "bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL",
        5_000_007_000, 1, Task(844, 0, "bash"), NAMED,
    ),
    (
        "bash-844 [001] .... 5.000007: kmalloc: call_site=do_it+0x70/0xb0 [my_mod] ptr=0xffff888004205500 "
        "bytes_req=60bytes_alloc=64 gfp_flags=0xdc0 node=1 accounted=true",
        5_000_007_000, 1, Task(844, 0, "bash"),
        NAMED._replace(gfp_flags=0xDC0, gfp_named=False, node=1, accounted=True),
    ),
    (
        "bash-844 [001] .... 5.000007: kmalloc: call_site=0xffffffff81234567 (-2128394905) ptr=0xffff888004205500 "
        "(-131390000000000) bytes_req=0x3c (60) bytes_alloc=0x40 (64) gfp_flags=0xcc0 (3264) node=0xffffffff (-1) "
        "accounted=(0)",
        5_000_007_000, 1, Task(844, 0, "bash"), SITE._replace(gfp_named=False, accounted=False),
    ),
    (
        "bash-844 [001] .... 5.000007: kmem_cache_alloc: call_site=do_it+0x70/0xb0 [my_mod] ptr=ffff888004205500 "
        "name=a cache bytes_req=60 bytes_alloc=64 gfp_flags=GFP_ATOMIC|__GFP_ZERO node=-1 accounted=false",
        5_000_007_000, 1, Task(844, 0, "bash"),
        NAMED._replace(event="kmem_cache_alloc", cache="a cache", gfp_flags=0x920, accounted=False),
    ),
    (
        "bash-844 [001] .... 5.000007: kmem_cache_free: call_site=do_it+0x70/0xb0 [my_mod] ptr=ffff888004205500 "
        "name=dentry",
        5_000_007_000, 1, Task(844, 0, "bash"),
        Site("kmem_cache_free", 0, Symbol("do_it", 0x70, "my_mod"), cache="dentry", gfp_flags=0),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "ns", "cpu", "task", "site"), FORMS, ids=lambda each: str(each)[:50])
def test_a_form(text: str, ns: int, cpu: int, task: Task, site: Site) -> None:
    records, texts, facts = read(text + "\n")
    assert (records.ts_ns.tolist(), records.ptr.tolist(), records.cpu.tolist()) == ([ns], [PTR], [cpu])
    assert texts.sites[int(records.site[0])] == site
    assert texts.tasks[int(records.task[0])] == task
    assert (facts.rejected, facts.cut) == (0, 0)


@pytest.mark.parametrize("null", ["(null)", "  (null)", "(nil)", "0x0", "0000000000000000", "((nil))"])
def test_a_free_of_null(null: str) -> None:
    records, texts, _ = read(line(f"kfree: call_site=bar+0x10/0x20 ptr={null}"))
    assert records.ptr.tolist() == [0]
    assert texts.sites[0].event == "kfree"


def test_a_line_that_is_cut_is_kept_and_counted() -> None:
    records, texts, facts = read(line("kmalloc: call_site=foo+0x1/0x2 ptr=ffff888000000040 bytes_req=224 "))
    assert (records.size, texts.sites[0].bytes_req, texts.sites[0].bytes_alloc, facts.cut) == (1, 224, 0, 1)


@pytest.mark.parametrize(
    "broken",
    [
        "kmalloc: call_site=foo+0x1/0x2 ptr=zzzz bytes_req=1",
        "kmalloc: call_site=foo+0x1/0x2 ptr=",
        "kmalloc: call_site=foo+0x1/0x2 ptr=ffff8880000000401 bytes_req=1",  # 17 digits
        f"kmalloc: call_site={'x' * 5000} ptr=ffff888000000040",
        "kmalloc: call_site=foo+0x1/0x2 ptr=(____ptrval____) bytes_req=1",  # too early to be hashed
        "kmalloc: call_site=foo+0x1/0x2 ptr= bytes_req=1",
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_shown(broken: str) -> None:
    records, _, facts = read(line(alloc(0xFFFF888000000040)) + line(broken) + line(free(0xFFFF888000000040)))
    assert records.size == 2
    assert facts.rejected == 1
    assert broken[:20] in facts.examples[0]


def test_other_events_are_no_kmem_events() -> None:
    text = line("sched_switch: prev_comm=a") + line("mm_page_alloc: page=ffff ptr=ffff888000000040 order=0")
    records, _, facts = read(text)
    assert (records.size, facts.rejected, facts.events) == (0, 0, 2)


def test_the_order_is_that_of_the_file_whatever_the_form() -> None:
    plain, other = line(alloc(0xFFFF888000000100)), f"kmalloc:   {TAIL}\n"
    records, _, _ = read(plain + other + plain + other)
    assert records.ptr.tolist() == [0xFFFF888000000100, PTR, 0xFFFF888000000100, PTR]


def text_with_stacks() -> str:
    """Twenty events, every other one with a stack; markers and other events between them."""
    parts = []
    for n in range(20):
        parts.append(line(alloc(0xFFFF888000000000 + 64 * n), n + 1, cpu=n % 3))
        if n % 2:
            parts.append(line("<stack trace>", n + 1, cpu=n % 3))
            parts.append(f" => kmem_cache_alloc\n => caller_{n}\n => outer\n")
        if n == 7:
            parts.append("CPU:1 [LOST 12 EVENTS]\n")
        parts.append(line("sched_wakeup: comm=x", n + 1.5, cpu=3))
    return "".join(parts)


def all_of(text: str) -> tuple[Any, ...]:
    records, texts, facts = read(text)
    stacks = [texts.stacks[each] if each >= 0 else () for each in records.stack.tolist()]
    return [*map(np.ndarray.tolist, records[:2])], stacks, facts.lines, facts.events, facts.lost, facts.cpus


def test_blocks_may_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_with_stacks()
    whole = all_of(text)
    (times, _), stacks, lines, *_ = whole
    assert times == [(n + 1) * 1_000_000_000 for n in range(20)]
    assert [frame.symbol for frame in stacks[3]] == [Symbol("caller_3"), Symbol("outer")]
    assert stacks[2] == ()
    assert lines == text.count("\n")
    for size in (1, 7, 64, 150, 333, 1000):
        monkeypatch.setattr(sources, "BLOCK", size)
        assert all_of(text) == whole


def test_the_last_line_needs_no_newline() -> None:
    records, *_ = read(line(alloc(0xFFFF888000000040)).rstrip("\n"))
    assert records.size == 1


def test_an_endless_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 1 << 16)
    text = line(alloc(0xFFFF888000000040)) + "x" * (3 << 20) + "\n" + line(free(0xFFFF888000000040))
    records, _, facts = read(text)
    assert records.size == 2
    assert facts.rejected >= 1
