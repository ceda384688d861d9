# SPDX-License-Identifier: Apache-2.0
"""What a column and a table are, and how a table's columns get into the help of the function that makes it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

TEXT, TEXTS, NUMBERS, DICTS = "text", "list of text", "list of int", "list of dict"
WIDTH = 100  # of a line of help


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `dtype`: pandas' name, or text, list of text, … for columns of Python objects.  `unit`: "ns", "B", "B/s",
    "0 to 1", "address", "" for a plain number or text.  `nullable`: None, NaN or <NA> (null in JSON) where
    the value is not known; the meaning says when.  `sampled`: only frames of recordings with --sample or
    --budget have it; JSON has null elsewhere.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    nullable: bool = False
    sampled: bool = False


@dataclass(frozen=True)
class Table:
    """A table: one row is what `row` says, made by the function `made_by` of slabtrace.api.Trace.

    `command` prints it, with `--json` as the list `json_list` of its document; "" where no command does.
    """

    name: str
    row: str
    made_by: str
    columns: tuple[Column, ...]
    command: str = ""
    json_list: str = ""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """`names`: the columns of a frame, in order; those of a sample come after them."""
        object.__setattr__(self, "names", tuple(each.name for each in self.columns if not each.sampled))

    @property
    def json_keys(self) -> tuple[str, ...]:
        """The keys of a row in `--json`."""
        return tuple(each.name for each in self.columns)

    def help(self) -> str:
        """The columns as text, one paragraph each."""
        return "\n".join(_paragraph(each) for each in self.columns)


def documented(table: Table) -> Callable[[F], F]:
    """A decorator: the function's docstring lists the columns of `table`, which it returns as a DataFrame."""

    def with_columns(function: F) -> F:
        text = textwrap.dedent(f"    {(function.__doc__ or '').strip()}")
        function.__doc__ = f"{text}\n\nColumns, a row being {table.row}:\n\n{table.help()}\n"
        return function

    return with_columns


def _paragraph(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    missing = ", may be missing" if column.nullable else ", only of a sample" if column.sampled else ""
    head = f"{column.name} ({column.dtype}{unit}{missing}): {column.meaning}"
    return textwrap.fill(head, WIDTH, initial_indent="  ", subsequent_indent="      ")
