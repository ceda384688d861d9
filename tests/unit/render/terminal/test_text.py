# SPDX-License-Identifier: Apache-2.0
"""Hostile text is made harmless, and tables fit the width they are given."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.render.terminal import text
from slabtrace.render.terminal.text import Column, name_column


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b31m", r"\x9b31m"),  # the one-byte form of ESC [
        ("\u202egnp.exe", r"\u202egnp.exe"),  # right-to-left override
        ("a\u2028b\u200bc", r"a\u2028b\u200bc"),
        ("\udc80", r"\udc80"),  # a byte that was no UTF-8
        ("kworker/0:1-événements 日本", "kworker/0:1-événements 日本"),
        ("", ""),
    ],
)
def test_escape(hostile: str, shown: str) -> None:
    assert text.escape(hostile) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_escaped_can_move_the_cursor(hostile: str) -> None:
    shown = text.escape(hostile)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    shown.encode()  # a terminal can be sent it


def table(columns: list[Column], rows: list[list[str]], width: int) -> list[str]:
    out = io.StringIO()
    text.write_table(out, columns, rows, width)
    return out.getvalue().splitlines()


def test_numbers_to_the_right_names_to_the_left() -> None:
    lines = table([name_column("cache"), Column("hits")], [["filp", "7"], ["kmalloc-64", "10,007"]], 80)
    assert lines == [
        "cache         hits",
        "filp             7",
        "kmalloc-64  10,007",
    ]


def test_a_wide_table_gives_up_the_middle_of_names() -> None:
    symbol = "a_very_long_function_name_of_some_driver+0x1a4/0x200 [its_module]"
    lines = table([Column("hits"), name_column("call site")], [["12,345,678", symbol]], 50)
    assert [len(line) for line in lines] == [21, 50]
    shown = lines[1].split("  ")[1]
    head, _, tail = shown.partition(text.ELLIPSIS)
    assert symbol.startswith(head) and symbol.endswith(tail)
    assert tail.endswith("[its_module]")


@given(st.lists(st.lists(st.text(max_size=90), min_size=2, max_size=2), max_size=5), st.integers(40, 120))
def test_any_names_fit(rows: list[list[str]], width: int) -> None:
    lines = table([name_column("cache"), name_column("call site")], rows, width)
    assert len(lines) == 1 + len(rows)
    assert all(text.cell_width(line) <= width for line in lines)


def test_wide_characters_take_two_cells() -> None:
    assert text.cell_width("日本") == 4
    assert text.cell_width("e\u0301") == 1  # a combining accent takes none
    assert text.elide("日本日本日本", 7) == "日本…本"
    assert text.elide("cron -f -l 2", 9, least="end") == "cron -f …"


def test_a_table_escapes_its_cells() -> None:
    lines = table([name_column("comm")], [["a\nb\x1b[0m"]], 80)
    assert lines[1] == r"a\nb\x1b[0m"


def test_fields_wrap_under_their_value() -> None:
    out = io.StringIO()
    text.write_fields(out, [("host", "one two three four"), ("by", "x")], width=16)
    assert out.getvalue().splitlines() == ["host  one two", "      three four", "by    x"]
