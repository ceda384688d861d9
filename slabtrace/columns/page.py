# SPDX-License-Identifier: Apache-2.0
"""docs/tables.md: every table with its columns, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from slabtrace.columns import TABLES
from slabtrace.columns.table import Table

HEAD = """# Tables

Every table that slabtrace makes: the columns of its pandas DataFrame, which are the keys of a row in `--json`.
This page is generated: `python -m slabtrace.columns > docs/tables.md`. In Python, `help(trace.leaks)` shows the same.

- Times are ns since the start of the recording, sizes bytes (B), growth bytes a second (B/s; commands print it a minute).
- A value that may be missing is None, NaN or `<NA>` in a frame and `null` in JSON.
- Addresses are numbers in a frame and texts like `"0xffffffff8127bc41"` in JSON, where 0 becomes `null`.
- Columns marked *sample* exist only for recordings with `--sample` or `--budget`; elsewhere JSON has `null`.
- Names (cache, symbol, comm, module, mark) come from the traced machine unescaped: they may hold any character.

`--json` prints one object: `schema` (name and version), `trace`, `completeness`, `damage`, and the list of rows under
the name given below. Keys may be added to a schema; one that is renamed or removed gets a new version.
Terms: [glossary](glossary.md).
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, *(_contents(table) for table in TABLES), "", *(_section(table) for table in TABLES)]
    )


def _contents(table: Table) -> str:
    return f"- [{table.name}](#{table.name.replace(' ', '-')}): {table.row}"


def _section(table: Table) -> str:
    return "\n".join([f"## {table.name}", "", *_origin(table), "", *_rows(table), ""])


def _origin(table: Table) -> Iterator[str]:
    yield f"A row is {table.row}. Python: `{_python(table)}`."
    if table.command:
        yield f"Command: `slabtrace {table.command}`; in its JSON the list `{table.json_list}`."


def _python(table: Table) -> str:
    made_by = table.made_by
    return (
        made_by.strip("()")
        if made_by.startswith("(")
        else f"Trace.{made_by}" + ("" if ")" in made_by else "()")
    )


def _rows(table: Table) -> Iterator[str]:
    yield "| column | dtype | unit | meaning |"
    yield "|---|---|---|---|"
    for each in table.columns:
        dtype = each.dtype + (" or missing" if each.nullable else " (sample)" if each.sampled else "")
        yield f"| `{each.name}` | {dtype} | {each.unit} | {each.meaning} |"
