# SPDX-License-Identifier: Apache-2.0
"""A census as tables, and what changed between two of them.

A census is what `slabtrace census -o FILE` wrote: a JSON object.  Its rows are checked here, because the
file may be of anybody.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from slabtrace.analysis.holders.classes import class_of, without_names
from slabtrace.columns import CENSUS_CACHES, CENSUS_CGROUPS, CENSUS_GROUPS
from slabtrace.columns.table import Table
from slabtrace.errors import TraceError

SCHEMA = "slabtrace.census/1"
LARGEST_FILE = 256 << 20
_KEYS = {"caches": ["cache"], "cgroups": ["cgroup"], "groups": ["kind", "group", "cache"]}
_TABLES: dict[str, Table] = {"caches": CENSUS_CACHES, "cgroups": CENSUS_CGROUPS, "groups": CENSUS_GROUPS}
_MOST_HOLDERS = 3


def load(path: Path) -> dict[str, Any]:
    """A census from its file.  Raises TraceError for anything else."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise TraceError(f"{path} is too large to be a census")
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise TraceError(f"there is no file {path}", "write one with `slabtrace census -o FILE`") from None
    except (ValueError, RecursionError, OSError) as error:
        raise TraceError(f"{path} is no census: {error}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise TraceError(f"{path} is no census, or of another version ({SCHEMA} is read)")
    check(content)
    return content


def check(census: Mapping[str, Any]) -> None:
    """Raises TraceError unless all parts of a census that are shown are what they should be."""
    for name in _TABLES:
        _frame(census, name)
    parts: dict[str, Callable[[Any], bool]] = {
        "sample": lambda each: _rows(each, _SAMPLE),
        "allocations": lambda each: _rows(each, _ALLOCATION),
        "notes": lambda each: isinstance(each, list) and all(isinstance(note, str) for note in each),
        "searched": lambda each: isinstance(each, dict) and all(map(_is_count, each.values())),
        "seconds": _is_number,
        "cpu_seconds": _is_number,
    }
    for name, right in parts.items():
        if census.get(name) is not None and not right(census[name]):
            raise TraceError(f"the part {name!r} of the census is damaged")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 1e12


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_SAMPLE: dict[str, Callable[[Any], bool]] = {
    "group": lambda each: isinstance(each, int),
    "in_use": lambda each: isinstance(each, bool),
    "references": lambda each: each is None or isinstance(each, int),
    "held": lambda each: each is None or isinstance(each, int),
    "holders": lambda each: each is None or (isinstance(each, list) and all(map(_is_text, each))),
}
_ALLOCATION: dict[str, Callable[[Any], bool]] = {"bytes": _is_count, "function": _is_text, "place": _is_text}


def _rows(value: Any, fields: Mapping[str, Callable[[Any], bool]]) -> bool:
    """Is it a list of dictionaries whose fields are right?"""
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(right(row.get(name)) for name, right in fields.items()) for row in value
    )


def table(census: Mapping[str, Any], name: str, sort: str = "bytes") -> pd.DataFrame:
    """The table `name` ("caches", "cgroups" or "groups"), largest first.  Raises TraceError."""
    frame = _frame(census, name)
    if name == "groups":
        frame["holders"] = [_holders(census, number) for number in range(len(frame))]
    frame = frame.sort_values([sort, *_KEYS[name]], ascending=[False] + [True] * len(_KEYS[name]))
    return frame.reset_index(drop=True)[list(_TABLES[name].names)]


def changes(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> pd.DataFrame:
    """What changed in the table `name`: its rows with the columns `objects_before` and `bytes_before` too,
    and `objects_change` and `bytes_change`; the largest change of bytes first."""
    keys = _KEYS[name]
    sides = [
        _frame(each, name).groupby(keys, as_index=False)[["objects", "bytes"]].sum() for each in (old, new)
    ]
    merged = sides[1].merge(sides[0], on=keys, how="outer", suffixes=("", "_before"))
    numbers = ["objects", "bytes", "objects_before", "bytes_before"]
    merged[numbers] = merged[numbers].fillna(0).astype("int64")
    for each in ("objects", "bytes"):
        merged[f"{each}_change"] = merged[each] - merged[f"{each}_before"]
    merged = merged[(merged["objects_change"] != 0) | (merged["bytes_change"] != 0)]
    order = merged["bytes_change"].abs().sort_values(ascending=False, kind="stable").index
    return merged.loc[order].reset_index(drop=True)


def _frame(census: Mapping[str, Any], name: str) -> pd.DataFrame:
    rows = census.get(name)
    columns = [each for each in _TABLES[name].columns if each.name != "holders"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TraceError(f"the census has no list {name!r}")
    frame = pd.DataFrame(rows, columns=[each.name for each in columns])
    try:
        for each in columns:
            if each.dtype == "int64":
                frame[each.name] = frame[each.name].astype("int64")
            elif each.dtype == "text":
                frame[each.name] = frame[each.name].astype(str)
    except (TypeError, ValueError, OverflowError):
        raise TraceError(f"the list {name!r} of the census is damaged") from None
    return frame


def _holders(census: Mapping[str, Any], number: int) -> list[str]:
    """Who holds the sample of a group, most often first, as "12 of 16: fd of nginx"."""
    sample = [row for row in census.get("sample") or [] if row.get("group") == number]
    counts = Counter(_words(row, bool(census.get("whole"))) for row in sample)
    return [f"{count} of {len(sample)}: {words}" for words, count in counts.most_common(_MOST_HOLDERS)]


def _words(row: Mapping[str, Any], whole: bool) -> str:
    holders: Sequence[Any] = row.get("holders") or []
    held = class_of(
        bool(row.get("in_use")), str(row.get("kind")), row.get("references"), row.get("held") or 0, whole
    )
    return f"{held}, {without_names(str(holders[-1]))}" if holders else held
