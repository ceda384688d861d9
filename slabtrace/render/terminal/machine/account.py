# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace account`: the sentences, and the parts of memory with what grew most in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_paragraph, write_table
from slabtrace.units import growth, size, unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    name_column("part"), Column("before"), Column("after"), Column("change"), Column("growth"),
    Column("class", right=False),
)  # fmt: skip
TRACED = Column("traced")
SMALL = 64 << 10  # bytes: items that changed less are only in JSON


def write_account(out: TextIO, account: pd.DataFrame, sentences: Sequence[str], most: int | None) -> None:
    """Write the sentences, then a line for each part and under it at most `most` items (None: all)."""
    for sentence in sentences:
        write_paragraph(out, sentence)
    rows = list(shown(account, most))
    if not rows:
        return
    out.write("\n")
    traced = bool(account["traced"].notna().any())
    write_table(out, [*COLUMNS, *([TRACED] if traced else [])], (_cells(row, traced) for row in rows))


def write_memory(out: TextIO, sentences: Sequence[str]) -> None:
    """Write, after an empty line, what the account says in short: the first sentence alone."""
    out.write("\n")
    for sentence in sentences[:1]:
        write_paragraph(out, sentence)


def shown(account: pd.DataFrame, most: int | None) -> Iterator[dict[Any, Any]]:
    """The rows that text and pages show: each part that there is, and the items that changed most."""
    for part in account["part"].unique():
        rows = account[account["part"] == part]
        whole, items = rows[rows["item"] == ""], rows[rows["item"] != ""]
        items = items[items["change"].abs() >= SMALL]
        if whole[["before", "after"]].fillna(1).to_numpy().any():
            yield from whole.to_dict("records")
        yield from (items if most is None else items.head(most)).to_dict("records")


def changed(number: float | None) -> str:
    """A change of bytes with its sign."""
    if number is None or unknown(number):
        return size(None)
    return f"{'-' if number < 0 else '+' if number else ''}{size(abs(number))}"


def pace(row: dict[Any, Any]) -> str:
    """How fast a row grows, if it does."""
    return growth(row["growth_bytes_per_s"]) if row["class"] in ("growing", "shrinking") else ""


def _cells(row: dict[Any, Any], traced: bool) -> list[str]:
    part = f"({row['part']})" if row["counted_in"] else row["part"]
    name = f"  {row['item']}" if row["item"] else part
    cells = [name, size(row["before"]), size(row["after"]), changed(row["change"]), pace(row), row["class"]]
    return cells + ([("" if unknown(row["traced"]) else changed(row["traced"]))] if traced else [])
