# SPDX-License-Identifier: Apache-2.0
"""Counting of the live view, with sites and batches in the order in which the recorder passes them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import numpy as np
import pytest
from textual.widgets import DataTable

from slabtrace.analysis.live import LEAST, LiveTrace
from slabtrace.render.top.app import TopApp
from slabtrace.render.top.text import chosen, head, write_moment
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.manifest import Manifest, Unattached
from tests.unit.synthetic import START, Event, alloc, free, intern

SECOND = 10**9
HOSTILE = "evil\x1b[2J[red]<b>"


def fed(parts: Sequence[Sequence[Event]]) -> LiveTrace:
    """A live trace that gets `parts` of events one after another, with a snapshot after each."""
    live = LiveTrace(Manifest(started_ns=START))
    live.rows("caches", {"cache": [0xC0, 0xD0], "name": ["kmalloc-64", HOSTILE]})
    names = {
        "address": [0x100, 0x900],
        "name": ["load_msg", "do_syscall_64"],
        "offset": [1, 2],
        "module": ["ipc", ""],
    }
    live.rows("symbols", {**names, "offset": [1, 2], "module": ["ipc", ""]})
    live.rows("stacks", {"stack_id": [5], "frames": [[0x100, 0x900]]})
    batch, sites = intern([event for part in parts for event in part])
    live.rows("sites", {name: list(column) for name, column in sites.items()})
    at = 0
    for number, part in enumerate(parts, 1):
        live.events(batch.take(slice(at, at + len(part))))
        at += len(part)
        live.snapshot(START + number * SECOND)
    return live


def growing(moments: int) -> list[list[Event]]:
    """Each second 3 objects of 64 bytes stay, and 2 others are allocated and freed."""
    parts = []
    for second in range(moments):
        ts = second * SECOND
        kept = [alloc(ts + i, 0x10000 * (second + 1) + 64 * i, stack_id=5) for i in range(3)]
        gone = [alloc(ts + 10 + i, 0x900000 + 64 * i, cache=0xD0, call_site=0x300) for i in range(2)]
        parts.append([*kept, *gone, *(free(ts + 20 + i, 0x900000 + 64 * i, cache=0xD0) for i in range(2))])
    return parts


def test_groups_are_counted_batch_by_batch() -> None:
    table = fed(growing(4)).table("cache").set_index("cache")
    kept, gone = table.loc[np.uint64(0xC0)], table.loc[np.uint64(0xD0)]
    assert (kept["outstanding"], kept["bytes"], kept["allocated"]) == (12, 12 * 64, 12)
    assert (kept["allocs_per_s"], kept["frees_per_s"], kept["growth_per_s"]) == (3, 0, 3 * 64)
    assert (gone["outstanding"], gone["allocated"]) == (0, 8)
    assert (gone["allocs_per_s"], gone["frees_per_s"], gone["growth_per_s"]) == (2, 2, 0)


def test_only_constant_growth_is_steady() -> None:
    table = fed(growing(LEAST)).table("call_site").set_index("call_site")
    assert bool(table.loc[np.uint64(0x100), "steady"]) and not table.loc[np.uint64(0x300), "steady"]
    assert not fed(growing(LEAST - 1)).table("call_site")["steady"].any()


def test_a_second_free_is_counted_once() -> None:
    twice = [alloc(0, 0x1000), free(10, 0x1000), free(SECOND // 2, 0x1000, call_site=0x400)]
    assert fed([twice]).mismatches == 1
    assert fed(growing(3)).mismatches == 0


def test_a_row_has_its_stacks() -> None:
    live = fed(growing(2))
    table = live.table("stack", {"cache": 0xC0, "call_site": 0x100})
    assert table["outstanding"].tolist() == [6]
    assert live.tables.stack(int(table["stack_id"][0])) == ["load_msg+0x1 [ipc]", "do_syscall_64+0x2"]


def test_an_empty_trace_has_an_empty_table() -> None:
    live = LiveTrace(Manifest())
    live.snapshot(START)
    assert live.table("cache").empty
    assert head(live.table("cache"), 1, live).startswith("1 s; 0/s allocs; 0/s frees; 0 outstanding")


def test_text_is_sorted_filtered_and_harmless() -> None:
    live = fed(growing(3))
    table = live.table("call_site")
    rows = [words for _, words in chosen(table, live.tables, "call_site", "bytes")]
    assert rows[0][0] == "9" and rows[0][-2:] == ["kmalloc-64", "load_msg+0x1 [ipc]"]
    assert next(words[-2] for _, words in chosen(table, live.tables, "call_site", "frees")) == HOSTILE
    assert len(chosen(table, live.tables, "call_site", "bytes", "LOAD_")) == 1
    out = io.StringIO()
    write_moment(out, head(table, 3, live), rows, "call_site")
    assert "\x1b" not in out.getvalue() and "evil\\x1b[2J[red]<b>" in out.getvalue()


def test_the_head_counts_only_double_frees_that_nothing_explains() -> None:
    frees = [free(10 + i, 0x1000, call_site=0x400 + i) for i in range(11)]
    live = fed([[alloc(0, 0x1000), *frees]])

    def words() -> str:
        return head(live.table("cache"), 3, live)

    assert "10 double frees; 0 events lost" in words() and "explained" not in words()
    live.manifest.totals.dropped, live.manifest.totals.recursion_missed = 5, 7
    live.manifest.totals.recovered = 4
    assert "2 double frees; 5 events lost; up to 3 skipped" in words()
    assert words().endswith("; 8 second frees explained by missed allocations")
    live.manifest.coverage.unattached = [Unattached("kmem_cache_free_bulk", "refused")]
    assert "2 double frees;" in words(), "it hides no allocation"
    live.manifest.coverage.unattached = [Unattached("kmem_cache_alloc_bulk", "refused")]
    assert "0 double frees;" in words()
    assert words().endswith("; 10 second frees explained by missed allocations")


def test_a_twins_late_record_of_a_free_is_not_counted() -> None:
    again = {"call_site": 0x400, "flags": Flag.RECOVERED}
    events = [alloc(0, 0x1000), free(10, 0x1000, call_site=0x400), free(SECOND // 2, 0x1000, **again)]
    assert fed([events]).second_frees == 0


@pytest.mark.parametrize("by", ["cache", "call_site"])
def test_the_keys_of_the_screen(by: str) -> None:
    live = fed(growing(3))
    goes_on = [True]

    async def drive() -> None:
        app = TopApp(live, by, "bytes", 0.2, lambda: goes_on[0])
        async with app.run_test(size=(140, 30)) as pilot:
            table = app.query_one(DataTable)
            assert table.row_count == 2
            await pilot.press("enter")
            stacks = app.query_one("#stacks")
            assert stacks.display and "load_msg+0x1 [ipc]" in str(stacks.render())
            await pilot.press("escape", "slash", *"evil")
            assert table.row_count == 1
            cell = table.get_cell_at((0, 6))
            assert str(cell) == "evil\\x1b[2J[red]<b>" and not cell.spans
            await pilot.press("enter", "escape", "p")
            assert "PAUSED" in str(app.query_one("#notes").render()) and table.row_count == 2
            await pilot.press("p", "o", "c")
            assert "by cache, most outstanding first" in str(app.query_one("#notes").render())
            await pilot.press("q")

    asyncio.run(drive())


def test_the_screen_ends_when_tracing_ends() -> None:
    live = fed(growing(2))

    async def drive() -> None:
        app = TopApp(live, "cache", "bytes", 0.1, lambda: False)
        async with app.run_test():
            pass
        assert not app.is_running

    asyncio.run(drive())
