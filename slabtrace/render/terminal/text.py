# SPDX-License-Identifier: Apache-2.0
"""Tables and paragraphs for a terminal, and the one function that makes hostile text harmless.

comm, cache, module, symbol and mark texts were chosen by whoever ran programs on the traced machine.
Each passes `escape` before a terminal gets it.  Tables fit the terminal's width, or 80 columns where
the output is not a terminal.  Numbers are formatted in `units`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TextIO

from slabtrace.units import plural

ELLIPSIS = "…"
NARROWEST = 12  # cells that an elastic column keeps however narrow the terminal
GAP = "  "


def escape(text: str) -> str:
    r"""`text` with everything a terminal would act on written as \x1b, \u202e and the like.

    Printable characters of any script stay; control characters, bidirectional overrides, line
    separators, unassigned and surrogate code points do not.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Column(NamedTuple):
    """A table's column.  Cells of an `elastic` one lose their middle where the table is too wide, or their
    end if that is the `least` of them.
    """

    title: str
    right: bool = True
    elastic: bool = False
    least: str = "middle"


def name_column(title: str) -> Column:
    """A column of names: to the left, and elastic."""
    return Column(title, right=False, elastic=True)


def command_column(title: str) -> Column:
    """A column of command lines, whose ends matter least."""
    return Column(title, right=False, elastic=True, least="end")


def write_table(
    out: TextIO, columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int | None = None
) -> None:
    """Write `rows` (one text per column, escaped here) under the columns' titles to `out`.

    `width`: cells to fit into; None takes the terminal's own.
    """
    cells = [[column.title for column in columns], *([escape(text) for text in row] for row in rows)]
    natural = [max(map(cell_width, column)) for column in zip(*cells, strict=True)]
    widths = _fit(columns, natural, terminal_width() if width is None else width)
    header, *lines = (_line(columns, widths, row) for row in cells)
    out.write(f"\x1b[1m{header}\x1b[0m\n" if out.isatty() else f"{header}\n")
    out.writelines(f"{line}\n" for line in lines)


def write_fields(out: TextIO, fields: Iterable[tuple[str, str]], width: int | None = None) -> None:
    """Write "name  value" lines, the values aligned and wrapped to the terminal's width."""
    pairs = [(name, escape(value)) for name, value in fields]
    indent = max((cell_width(name) for name, _ in pairs), default=0) + len(GAP)
    for name, value in pairs:
        for i, line in enumerate(wrap(value, (width or terminal_width()) - indent)):
            out.write(f"{'' if i else name:<{indent}}{line}\n")


def write_paragraph(out: TextIO, text: str, width: int | None = None) -> None:
    """Write `text`, escaped and wrapped to the terminal's width; all lines are indented as the first."""
    indent = " " * (len(text) - len(text.lstrip(" ")))
    lines = wrap(escape(text).lstrip(" "), (width or terminal_width()) - len(indent))
    out.writelines(f"{indent}{line}\n" for line in lines)


def write_more(out: TextIO, hidden: int, noun: str) -> None:
    """Say that the limit left out `hidden` more rows, each of them a `noun`; nothing if there are none."""
    if hidden:
        out.write(f"… and {plural(hidden, noun)} more (-l 0 shows all)\n")


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at spaces; longer words stay whole."""
    import textwrap

    lines = textwrap.wrap(text, max(width, NARROWEST), break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def terminal_width() -> int:
    """Cells of the terminal on stdout ($COLUMNS goes first); 80 where there is none."""
    import shutil  # here: `slabtrace --help` uses `escape` alone

    return shutil.get_terminal_size((80, 24)).columns


def cell_width(text: str) -> int:
    """How many terminal cells `text` (already escaped) takes: East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def elide(text: str, width: int, least: str = "middle") -> str:
    """`text` in at most `width` cells: the middle goes, as both ends of a symbol matter, or the "end"."""
    if cell_width(text) <= width:
        return text
    tail = 0 if least == "end" else (width - 1) * 2 // 5
    return _prefix(text, width - 1 - tail) + ELLIPSIS + _prefix(text[::-1], tail)[::-1]


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _prefix(text: str, width: int) -> str:
    """The longest start of `text` that fits `width` cells."""
    used = 0
    for i, character in enumerate(text):
        used += _character_width(character)
        if used > width:
            return text[:i]
    return text


def _fit(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Column widths that sum to `width` if the elastic columns can give that much."""
    widths = list(natural)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        elastic = [i for i, column in enumerate(columns) if column.elastic and widths[i] > NARROWEST]
        if not elastic:
            break
        widest = max(elastic, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    return GAP.join(_cells(columns, widths, row)).rstrip()


def _cells(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> Iterator[str]:
    for column, width, text in zip(columns, widths, row, strict=True):
        shown = elide(text, width, column.least) if column.elastic else text
        padding = " " * (width - cell_width(shown))
        yield padding + shown if column.right else shown + padding
