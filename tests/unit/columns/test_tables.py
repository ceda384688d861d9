# SPDX-License-Identifier: Apache-2.0
"""The definitions of tables, compared with the tables themselves: every fixture, every column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import slabtrace
from slabtrace import columns
from slabtrace.analysis.comparing.diff import diff
from slabtrace.api import Trace
from slabtrace.columns.page import page
from slabtrace.columns.table import Column, Table
from slabtrace.fleet.digests.making import digest_frame
from tests.places import FIXTURES, ROOT

TRACES = sorted(FIXTURES.glob("*.slab"))

MADE: dict[str, Callable[[Trace], pd.DataFrame]] = {
    "leaks": lambda trace: trace.leaks(),
    "findings": lambda trace: trace.findings(),
    "outstanding": lambda trace: trace.outstanding(by="call_site"),
    "oldest objects": lambda trace: trace.oldest(3),
    "mismatches": lambda trace: trace.mismatches(),
    "stat": lambda trace: trace.stat(by="cache"),
    "page totals": lambda trace: trace.stat(by="pages"),
    "pointers": lambda trace: trace.stat(by="ptr"),
    "peaks": lambda trace: trace.peaks(),
    "caches": lambda trace: trace.caches(),
    "reconciliation": lambda trace: trace.reconciliation(),
    "lifetimes": lambda trace: trace.lifetime_table(),
    "diff": lambda trace: diff(trace.leaks(), trace.leaks(by="stack"), trace.length_ns, trace.length_ns),
    "usage": lambda trace: trace.usage(),
    "usage by call site": lambda trace: trace.call_site_usage(),
    "size classes": lambda trace: trace.size_classes(),
    "lifetime histogram": lambda trace: trace.lifetime_histogram(),
    "stack totals": lambda trace: trace.stack_totals(),
    "who": lambda trace: trace.who(),
    "arrivals": lambda trace: trace.arrivals(),
    "losses": lambda trace: trace.losses(),
    "marks": lambda trace: trace.marks(),
    "tasks": lambda trace: trace.tasks(),
    "modules": lambda trace: trace.modules(),
    "digest": lambda trace: digest_frame(trace, "t.slab", "0" * 32),
    "account": lambda trace: trace.account(),
    "memory": lambda trace: trace.memory(),
    "counters": lambda trace: trace.counters(),
    "inspected objects": lambda trace: trace.inspected(),
}
OF_A_MACHINE = (columns.CENSUS_CACHES, columns.CENSUS_CGROUPS, columns.CENSUS_GROUPS)
NOT_OF_ONE_TRACE = (columns.SNAPSHOTS, columns.FLEET, columns.FLEET_DIFF, *OF_A_MACHINE)


def wrong(column: Column, values: pd.Series) -> str:
    """How a column differs from its definition; empty if it does not."""
    if column.dtype.startswith(("list", "dict")):
        objects = values.map(lambda value: isinstance(value, list | tuple | dict | None)).all()
        return "" if objects else "values"
    if column.dtype == "text":
        present = values.dropna()
        texts = present.map(lambda value: isinstance(value, str)).all()
        return "" if texts and (column.nullable or len(present) == len(values)) else "texts"
    if str(values.dtype) != column.dtype:
        return f"dtype {values.dtype}"
    return "" if column.nullable or not values.isna().any() else "missing values"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_frames_are_as_defined(path: Path) -> None:
    trace = slabtrace.open(path)
    for table in columns.TABLES:
        if table in (columns.BROKEN_RULES, *NOT_OF_ONE_TRACE):
            continue
        if table is columns.DIFF and trace.leaks().empty:
            continue
        frame = MADE[table.name](trace)
        assert (table.name, *frame.columns) == (table.name, *table.names)
        if len(frame):
            found = {each.name: wrong(each, frame[each.name]) for each in table.columns if not each.sampled}
            assert {name: what for name, what in found.items() if what} == {}, table.name


def test_every_table_of_a_command_names_its_list_in_the_json() -> None:
    for table in columns.TABLES:
        assert bool(table.command) == bool(table.json_list)
        assert len({each.name for each in table.columns}) == len(table.columns)


@pytest.mark.parametrize("table", columns.TABLES, ids=lambda table: table.name)
def test_help_lists_the_columns(table: Table) -> None:
    method = getattr(Trace, table.made_by.partition("(")[0], None)
    if method is None:
        assert table in (columns.DIFF, columns.BROKEN_RULES, *NOT_OF_ONE_TRACE, columns.DIGEST)
    elif table not in (columns.POINTERS, columns.PAGE_STAT):
        assert all(f"  {each.name} ({each.dtype}" in method.__doc__ for each in table.columns)


def test_the_growth_has_a_unit() -> None:
    assert "growth_bytes_per_s (float64, B/s)" in (Trace.leaks.__doc__ or "")


def test_the_page_is_made_from_the_definitions() -> None:
    shown = (ROOT / "docs/tables.md").read_text()
    assert shown == page(), "run: python -m slabtrace.columns > docs/tables.md"
