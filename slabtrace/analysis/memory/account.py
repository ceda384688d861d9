# SPDX-License-Identifier: Apache-2.0
"""Where memory went between the first and the last time of a series: the table `account`, and facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slabtrace.analysis.memory import parts as memory
from slabtrace.analysis.memory.growth import Growth, classes, growth
from slabtrace.analysis.memory.series import Series, Values
from slabtrace.columns.machine.memory import ACCOUNT, COUNTERS, MEMORY_PARTS

if TYPE_CHECKING:
    import pandas as pd

# Parts besides slab of which allocations are traced.
OTHER_TRACED = (memory.LARGE, memory.PERCPU, memory.VMALLOC)
COUNTED_IN = {
    memory.SOCKETS: f"{memory.SLAB}, {memory.LARGE}, {memory.UNCOUNTED}",
    memory.PIPES: memory.UNCOUNTED,
}
SAYS = {part.name: part.says for part in memory.PARTS} | {
    memory.SOCKETS: "what sockets are charged for what they hold (sockstat); the pages are in other parts",
    memory.PIPES: "bytes that wait in pipes; the pages are in other parts",
}


class Facts(NamedTuple):
    """What is said beside the table.  NaN where it is not known; each pair: before, after."""

    seconds: float  # 0 where the times are not known
    in_use: tuple[float, float]
    dying: tuple[float, float]  # cgroups that were removed and still have memory
    cgroups: tuple[float, float]


def account(series: Series, traced: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Rows of columns.ACCOUNT: the parts as in parts.PARTS, each with its items, the largest change first.

    `traced`: bytes allocated less bytes freed by slab cache, of a trace; (large kmalloc) under parts.LARGE.
    """
    import pandas as pd

    if not series.known:
        return pd.DataFrame(columns=list(ACCOUNT.names))
    levels = {(name, ""): each for name, each in memory.parts(series).items()} | memory.items(series)
    levels |= {(part, ""): _total(levels, part) for part in COUNTED_IN if any(p == part for p, _ in levels)}
    grown = {key: growth(series.ts_ns, each) for key, each in levels.items()}
    named = dict(zip(grown, classes(list(grown.values())), strict=True))
    known = grown if series.timed else dict.fromkeys(grown)  # without times there is no rate
    rows = [_row(key, each, known[key], named[key], traced or {}) for key, each in levels.items()]
    order = {name: i for i, name in enumerate((*memory.NAMES, *COUNTED_IN))}
    rows.sort(key=lambda row: (order[row["part"]], row["item"] != "", -abs(_number(row["change"]))))
    return pd.DataFrame(rows, columns=list(ACCOUNT.names))


def _total(levels: Mapping[tuple[str, str], Values], part: str) -> Values:
    total: Values = np.sum([each for (name, _), each in levels.items() if name == part], axis=0)
    return total


def _row(
    key: tuple[str, str], level: Values, grown: Growth | None, named: str, traced: Mapping[str, float]
) -> dict[str, Any]:
    part, item = key
    before, after = float(level[0]), float(level[-1])
    rate = (np.nan,) * 3 if grown is None else tuple(grown.rate)
    in_trace = _traced(part, item, traced)
    return {
        "part": part, "item": item, "before": before, "after": after, "change": after - before,
        "class": named, "growth_bytes_per_s": rate[0], "growth_low": rate[1], "growth_high": rate[2],
        "traced": np.nan if in_trace is None else float(in_trace),
        "counted_in": COUNTED_IN.get(part, ""), "says": "" if item else SAYS[part],
    }  # fmt: skip


def _traced(part: str, item: str, traced: Mapping[str, float]) -> float | None:
    if part == memory.SLAB and traced:
        own = [number for name, number in traced.items() if name not in OTHER_TRACED]
        return traced.get(item) if item else sum(own)
    return traced.get(part) if part in OTHER_TRACED and not item else None


def facts(series: Series) -> Facts:
    """What the words under the table need."""
    seconds = float(series.ts_ns[-1] - series.ts_ns[0]) / 1e9 if series.timed else 0.0
    used = memory.in_use(memory.parts(series))
    return Facts(seconds, _ends(used), _ends(_dying(series)), _ends(series.of("cgroups.memory")))


def _dying(series: Series) -> Values:
    """Dying memory cgroups: of version 1 those without a directory, else those of cgroup2.

    Directories are counted once a minute, so they are compared with the cgroups of that moment.
    """
    counted = series.of("cgroups.memory.dying")
    if not np.isnan(counted[-1]):
        return counted
    without = series.of("cgroups.memory") - series.of("cgroups.memory.directories")
    if not np.isnan(without[-1]):
        return np.maximum(without, 0)
    of_memory = series.of("cgroup2.nr_dying_subsys_memory")  # since 6.12
    return of_memory if not np.isnan(of_memory[-1]) else series.of("cgroup2.nr_dying_descendants")


def over_time(series: Series, started_ns: int) -> pd.DataFrame:
    """Rows of columns.MEMORY_PARTS: every part at every time."""
    import pandas as pd

    found = memory.parts(series) if series.known else {"": np.empty(0)}
    return pd.DataFrame(
        {
            "ts_ns": np.tile(series.ts_ns - started_ns, len(found)),
            "part": np.repeat(list(found), len(series.ts_ns)),
            "bytes": np.concatenate(list(found.values())),
        },
        columns=list(MEMORY_PARTS.names),
    )


def counters(series: Series) -> pd.DataFrame:
    """Rows of columns.COUNTERS: every counter as it was read, at both moments."""
    import pandas as pd

    rows = [(name, float(each[0]), float(each[-1])) for name, each in sorted(series.counters.items())]
    return pd.DataFrame(rows, columns=list(COUNTERS.names))


def _ends(values: Values) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _number(value: float) -> float:
    return 0.0 if np.isnan(value) else value
