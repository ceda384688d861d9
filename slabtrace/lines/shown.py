# SPDX-License-Identifier: Apache-2.0
"""Source lines as they are shown: in the stacks of a table, as one sentence, and in JSON.

A frame `alloc_msg+0x41` becomes `alloc_msg+0x41 (ipc/msgutil.c:53)`; functions inlined at that address come
before it, as they are further inside.  All of it is a stranger's text: escape it before it is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slabtrace.analysis.names.frames import module_of
from slabtrace.lines.symbolizers import Location, Locations

if TYPE_CHECKING:
    import pandas as pd

EVENTS = ("alloc", "first_free", "second_free")  # columns of mismatches, each with a symbol and a stack
NAMES_SHOWN = 4


@dataclass
class Lines:
    """Locations of symbols, as `Trace.lines` found them.

    `found`: by symbol, the innermost inlined function first.  `missing`: of the other symbols that were
    asked for, (whose they are: a module, or "the kernel"; why they have no line).
    """

    found: Mapping[str, Locations] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def frames(self, symbols: Iterable[str]) -> list[str]:
        """A stack with lines: functions inlined at an address come before it."""
        return [text for symbol in symbols for text in self.frame(symbol)]

    def frame(self, symbol: str) -> list[str]:
        """The frames at one address; the symbol as it is where its line is not known."""
        locations = self.found.get(symbol)
        if not locations:
            return [symbol]
        module = module_of(symbol)
        tag = f" [{module}]" if module else ""
        *inlined, own = locations
        return [*(f"{e.function}{tag} ({place(e)}, inlined)" for e in inlined), f"{symbol} ({place(own)})"]

    def short(self, symbol: str) -> str:
        """The symbol with its file's name alone, for narrow columns."""
        locations = self.found.get(symbol)
        return f"{symbol} ({place(locations[-1]).rpartition('/')[2]})" if locations else symbol

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` of findings, groups, mismatches or stacks, with lines in their columns of symbols."""
        rows = rows.copy()
        if "symbol" in rows:
            rows["symbol"] = [self.short(each) for each in rows["symbol"]]
        if "stack" in rows:
            rows["stack"] = _objects(rows, [self.frames(each) for each in rows["stack"]])
        for name in (each for each in EVENTS if each in rows):
            rows[name] = _objects(rows, [self._event(each) for each in rows[name]])
        return rows

    def _event(self, event: Any) -> Any:
        """An event of a mismatch, which may be missing."""
        if not isinstance(event, Mapping):
            return event
        lines = {"stack": self.frames(event["stack"])} if event.get("stack") else {}
        own = {"symbol": self.frame(event["symbol"])[-1]} if event.get("symbol") else {}
        return {**event, **own, **lines}

    @property
    def sentence(self) -> str:
        """How many frames have no line, and why; empty if all of them have one."""
        if not self.missing:
            return ""
        by_reason: dict[str, Counter[str]] = {}
        for whose, why in self.missing.values():
            by_reason.setdefault(why, Counter())[whose] += 1
        often = sorted(by_reason.items(), key=lambda each: -each[1].total())
        parts = "; ".join(f"{_counted(whose)} ({why})" for why, whose in often)
        missing, every = len(self.missing), len(self.missing) + len(self.found)
        return f"source lines: {missing:,} of {every:,} frames have none: {parts}"

    def to_json(self) -> dict[str, Any]:
        """The object `lines` of `--json`: locations by symbol, and the symbols without one."""
        missing: dict[tuple[str, str], list[str]] = {}
        for symbol, reason in self.missing.items():
            missing.setdefault(reason, []).append(symbol)
        return {
            "frames": {
                symbol: [each._asdict() for each in locations] for symbol, locations in self.found.items()
            },
            "missing": [
                {"of": whose, "reason": why, "symbols": symbols} for (whose, why), symbols in missing.items()
            ],
        }


def place(location: Location) -> str:
    """As "ipc/msgutil.c:53"."""
    return f"{location.file}:{location.line}"


def symbols_of(tables: Iterable[pd.DataFrame]) -> set[str]:
    """All symbols that `Lines.table` would show with lines."""
    found: set[str] = set()
    for rows in tables:
        found.update(rows.get("symbol", ()))
        for stack in rows.get("stack", ()):
            found.update(stack)
        for event in (event for name in EVENTS if name in rows for event in rows[name]):
            if isinstance(event, Mapping):
                found.update(
                    [*(event.get("stack") or []), *([event["symbol"]] if event.get("symbol") else [])]
                )
    return found


def _counted(whose: Counter[str]) -> str:
    """As "457 of the kernel, 34 of 9pnet"; those of many modules are summed up."""
    parts = [f"{number:,} of {name}" for name, number in whose.most_common(NAMES_SHOWN)]
    rest = whose.total() - sum(number for _, number in whose.most_common(NAMES_SHOWN))
    return ", ".join([*parts, *([f"{rest:,} of others"] if rest else [])])


def _objects(rows: pd.DataFrame, values: Sequence[Any]) -> pd.Series:
    import pandas as pd

    return pd.Series(list(values), index=rows.index, dtype=object)
