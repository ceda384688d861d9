# SPDX-License-Identifier: Apache-2.0
"""The screen of `slabtrace top`: a table that updates itself, and the stacks of the selected row."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import gt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, Static

from slabtrace.render.terminal.text import Column, cell_width, elide, escape
from slabtrace.render.top.text import CLASS, NAMES, SORT_KEYS, cells, chosen, columns, head, reason, verdict
from slabtrace.units import plural, size

if TYPE_CHECKING:
    from slabtrace.analysis.live.trace import LiveTrace

ROWS = 100  # of the table; a filter finds the others
STACKS = 6  # of a row, those that hold most
GROUPINGS = ("cache", "call_site")
NAME_CELLS = 60


class TopApp(App[None]):
    """Shows `live`, updated every `interval_s`; ends by itself once `running` is false."""

    CSS = """
    #head { padding: 0 1; background: $boost; } #notes { padding: 0 1; color: $text-muted; }
    DataTable { height: 1fr; } #stacks { height: auto; max-height: 50%; overflow-y: auto; padding: 0 1;
    border-top: solid $primary; display: none; }
    #filter { height: 0; border: none; padding: 0; } #filter.open { height: 1; padding: 0 1; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "group('cache')", "caches"),
        Binding("s", "group('call_site')", "call sites"),
        Binding("o", "sort", "order"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("p", "pause", "pause"),
        Binding("enter", "stacks", "stacks", priority=False),
        Binding("escape", "leave", "back", show=False),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self, live: LiveTrace, by: str, sort: str, interval_s: float, running: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._live, self._by, self._sort = live, by, sort
        self._interval_s, self._goes_on = interval_s, running
        self._words = ""
        self._widths: list[int] = []
        self._paused = False
        self._rows: list[dict[Any, Any]] = []
        self._drilled: dict[Any, Any] | None = None

    def compose(self) -> ComposeResult:
        """The parts of the screen, from top to bottom."""
        yield Static(id="head", markup=False)
        yield Static(id="notes", markup=False)
        yield Input(placeholder="part of a cache's or a function's name", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="stacks", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Start the updates."""
        self.query_one(DataTable).focus()
        self._renew()
        self.set_interval(self._interval_s, self._renew)

    def _renew(self) -> None:
        if not self._goes_on():
            self.exit()
        elif not self._paused:
            self._live.snapshot(time.monotonic_ns())
            self._draw()

    def _draw(self) -> None:
        frame = self._live.table(self._by)
        seconds = (time.monotonic_ns() - self._live.manifest.started_ns) / 1e9
        said = head(frame, seconds, self._live), escape(verdict(self._live))
        self.query_one("#head", Static).update("\n".join(said))
        self.query_one("#notes", Static).update(self._notes())
        shown = chosen(frame, self._live.tables, self._by, self._sort, self._words)[:ROWS]
        self._rows = [row for row, _ in shown]
        self._fill([words for _, words in shown])
        if self._drilled is not None:
            self._draw_stacks(self._drilled)

    def _notes(self) -> str:
        first = "suspects" if self._sort == CLASS else f"most {self._sort}"
        parts = [f"by {self._by.replace('_', ' ')}, {first} first"]
        parts += [f"only {escape(self._words)!r}"] if self._words else []
        parts += ["PAUSED"] if self._paused else []
        unattached = self._live.manifest.coverage.unattached
        parts += [f"{plural(len(unattached), 'path')} not traced"] if unattached else []
        return "; ".join(parts)

    def _fill(self, rows: list[list[str]]) -> None:
        """Write the rows; the cursor keeps its place."""
        table = self.query_one(DataTable)
        place, scroll = table.cursor_row, table.scroll_y
        shown = [[elide(escape(text), NAME_CELLS) for text in row] for row in rows]
        self._fit(table, shown)
        for row in shown:
            aligned = zip(row, columns(self._by), strict=True)
            # Text, so that no name is taken for markup
            table.add_row(*(Text(text, justify=_side(column), no_wrap=True) for text, column in aligned))
        table.cursor_coordinate = Coordinate(max(min(place, len(rows) - 1), 0), 0)
        table.scroll_to(y=scroll, animate=False)

    def _fit(self, table: DataTable[Text], rows: list[list[str]]) -> None:
        """Empty the table, its columns wide enough for `rows`; they only grow, so that nothing jumps."""
        titles = [column.title for column in columns(self._by)]
        needed = [max(map(cell_width, column)) for column in zip(titles, *rows, strict=True)]
        if len(needed) != len(self._widths) or any(map(gt, needed, self._widths)):
            same = len(needed) == len(self._widths)
            self._widths = list(map(max, needed, self._widths)) if same else needed
            table.clear(columns=True)
            for column, width in zip(columns(self._by), self._widths, strict=True):
                table.add_column(Text(column.title, justify=_side(column)), width=width)
        table.clear()

    def _draw_stacks(self, row: dict[Any, Any]) -> None:
        """Show the stacks of a row that hold most."""
        choice = {"cache": row["cache"]} | (
            {"call_site": row["call_site"]} if self._by == "call_site" else {}
        )
        table = self._live.table("stack", choice).sort_values("bytes", ascending=False)
        lines = []
        for each in table.head(STACKS).to_dict("records"):
            held = f"{plural(each['outstanding'], 'object')}, {size(each['bytes'])}"
            lines.append(f"{held} from {self._live.tables.symbol(int(each['call_site']))}")
            lines += [f"    {frame}" for frame in self._live.tables.stack(int(each["stack_id"]))]
        words = cells(row, self._live.tables, self._by)[NAMES:]
        why = filter(None, [reason(table, self._live)])
        more = f"\n… and {plural(len(table) - STACKS, 'stack')} more" if len(table) > STACKS else ""
        text = "\n".join(escape(line) for line in [" ".join(words), *why, *lines])
        self.query_one("#stacks", Static).update(text + more)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on a row: show its stacks."""
        if event.cursor_row < len(self._rows):
            self._drilled = self._rows[event.cursor_row]
            self._draw_stacks(self._drilled)
            self.query_one("#stacks").display = True

    def on_input_changed(self, event: Input.Changed) -> None:
        """The filter's text changed."""
        self._words = event.value
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The filter is complete: back to the table."""
        self.query_one(DataTable).focus()

    def action_group(self, by: str) -> None:
        """Show caches, or call sites."""
        self._by, self._drilled = by, None
        self.query_one("#stacks").display = False
        self._draw()

    def action_sort(self) -> None:
        """Sort by the next key."""
        keys = list(SORT_KEYS)
        self._sort = keys[(keys.index(self._sort) + 1) % len(keys)]
        self._draw()

    def action_filter(self) -> None:
        """Ask for words to filter by."""
        asked = self.query_one("#filter")
        asked.add_class("open")  # it only grows: a widget that is not displayed cannot take the next key
        self.screen.set_focus(asked)

    def action_pause(self) -> None:
        """Stop or restart the updates; tracing continues."""
        self._paused = not self._paused
        self._draw()

    def action_leave(self) -> None:
        """Close the stacks; if none are open, drop the filter."""
        if self._drilled is not None:
            self._drilled = None
            self.query_one("#stacks").display = False
        else:
            self.query_one("#filter", Input).value = self._words = ""
            self.query_one("#filter").remove_class("open")
        self.query_one(DataTable).focus()
        self._draw()


def _side(column: Column) -> Literal["left", "right"]:
    return "right" if column.right else "left"
