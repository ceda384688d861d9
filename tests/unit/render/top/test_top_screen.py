# SPDX-License-Identifier: Apache-2.0
"""The screen and the text of `slabtrace top`."""

from __future__ import annotations

import asyncio
import io
import re
import time

import pytest
from textual.widgets import DataTable

from slabtrace.analysis.live.trace import LiveTrace
from slabtrace.render.top.app import TopApp
from slabtrace.render.top.text import chosen, head, reason, verdict, write_moment
from slabtrace.trace.manifest import Manifest, RecorderUse, Unattached
from tests.unit.live_view import HOSTILE, SECOND, growing, watched
from tests.unit.synthetic import START, alloc, free


def test_an_empty_trace_has_a_head() -> None:
    live = LiveTrace(Manifest())
    live.snapshot(START)
    assert (
        head(live.table("cache"), 1, live) == "1 s; 0/s allocs; 0/s frees; 0 outstanding, 0 B; 0 events lost"
    )


def test_text_is_sorted_filtered_and_harmless() -> None:
    live = watched(growing(3))
    table = live.table("call_site")
    rows = [words for _, words in chosen(table, live.tables, "call_site", "bytes")]
    assert rows[0][0] == "9" and rows[0][-3:] == ["leaky (pid 70)", "kmalloc-64", "load_msg+0x1 [ipc]"]
    assert next(words[-2] for _, words in chosen(table, live.tables, "call_site", "frees")) == HOSTILE
    assert len(chosen(table, live.tables, "call_site", "bytes", "LOAD_")) == 1
    assert len(chosen(table, live.tables, "call_site", "bytes", "leaky")) == 1
    out = io.StringIO()
    write_moment(out, [head(table, 3, live), HOSTILE], rows, "call_site")
    assert "\x1b" not in out.getvalue() and out.getvalue().count("evil\\x1b[2J[red]<b>") == 2


def test_suspects_come_first_and_slabtraces_own_last() -> None:
    """The suspect has the fewest bytes, slabtrace itself the most."""
    parts = growing(40)
    parts[0] += [alloc(30, 0xA00000, cache=0xD0, call_site=0x310, bytes_alloc=9000)]
    parts[0] += [alloc(31, 0xB00000, cache=0xD0, call_site=0x320, bytes_alloc=90000, tid=9)]
    live = watched(parts, Manifest(recorder=RecorderUse(pid=90)), every=10)
    table = live.table("call_site")
    shown = chosen(table, live.tables, "call_site", "class")
    assert [row["call_site"] for row, _ in shown] == [0x100, 0x310, 0x300, 0x320]
    assert shown[0][1][5:7] == ["suspect", "leaky (pid 70)"]
    assert shown[-1][1][6] == "slabtrace itself"
    by_bytes = chosen(table, live.tables, "call_site", "bytes")
    assert [row["call_site"] for row, _ in by_bytes] == [0x310, 0x100, 0x300, 0x320]
    assert re.match(r"1 suspect \(11\.\d KiB/min\), 0 growing after 39 s; a leak of one", verdict(live))
    assert re.match(r"suspect: one more every 33\d ms, 11\.\d KiB/min", reason(table, live))


def test_the_verdict_says_what_is_not_known() -> None:
    manifest = Manifest()
    manifest.coverage.unattached = [Unattached("kvfree_call_rcu", "refused")]
    line = verdict(watched(growing(40), manifest, every=10))
    assert line.startswith("0 suspects, 1 growing after ")
    assert "; some frees cannot be traced here: `slabtrace record` confirms what grows; " in line
    assert "a leak of one object every" in line
    assert "too short to find a leak" in verdict(watched(growing(2)))
    assert verdict(LiveTrace(Manifest())) == "not judged yet"
    manifest = Manifest(options={"pid": 4})
    assert "Recorded with --pid 4:" in verdict(watched(growing(2), manifest))


def test_the_head_counts_only_double_frees_that_nothing_explains() -> None:
    frees = [free(10 + i, 0x1000, call_site=0x400 + i) for i in range(11)]
    live = watched([[alloc(0, 0x1000), *frees]])

    def words() -> str:
        return head(live.table("cache"), 3, live)

    assert "; 10 double frees; 0 events lost" in words()
    live.manifest.totals.dropped, live.manifest.totals.recursion_missed = 5, 7
    live.manifest.totals.recovered = 4
    assert words().endswith("; 2 double frees; 5 events lost; up to 3 skipped")
    live.manifest.coverage.unattached = [Unattached("kmem_cache_alloc_bulk", "refused")]
    assert words().endswith(" B; 5 events lost; up to 3 skipped")


@pytest.mark.parametrize("by", ["cache", "call_site"])
def test_the_keys_of_the_screen(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    live = watched(growing(40), every=10)
    monkeypatch.setattr(time, "monotonic_ns", lambda: START + 41 * SECOND)  # the clock of its events
    goes_on = [True]

    async def drive() -> None:
        app = TopApp(live, by, "class", 0.2, lambda: goes_on[0])
        async with app.run_test(size=(140, 30)) as pilot:
            table = app.query_one(DataTable)
            assert table.row_count == 2
            assert "1 suspect" in str(app.query_one("#head").render())
            assert "suspects first" in str(app.query_one("#notes").render())
            await pilot.press("enter")
            stacks = app.query_one("#stacks")
            assert stacks.display and "load_msg+0x1 [ipc]" in str(stacks.render())
            assert "suspect: one more every" in str(stacks.render())
            await pilot.press("escape", "slash", *"evil")
            assert table.row_count == 1
            cell = table.get_cell_at((0, 7))
            assert str(cell) == "evil\\x1b[2J[red]<b>" and not cell.spans
            await pilot.press("enter", "escape", "p")
            assert "PAUSED" in str(app.query_one("#notes").render()) and table.row_count == 2
            await pilot.press("p", "o", "o", "c")
            assert "by cache, most outstanding first" in str(app.query_one("#notes").render())
            await pilot.press("q")

    asyncio.run(drive())


def test_the_screen_ends_when_tracing_ends() -> None:
    live = watched(growing(2))

    async def drive() -> None:
        app = TopApp(live, "cache", "bytes", 0.1, lambda: False)
        async with app.run_test():
            pass
        assert not app.is_running

    asyncio.run(drive())
