# SPDX-License-Identifier: Apache-2.0
"""The differences between two recordings, group by group: new, gone, grown, shrunk.

Groups are matched by the cache's name and the functions of the stack, which are the same after another boot
or build (names/frames.py).  Recordings differ in length, so rates are compared.
A difference is significant if chance does not explain it, at a level of 1 % divided among all groups
(Bonferroni).  There are two tests: whether objects were left at the same rate (of n + m objects, the number
in one recording is binomial with its share of the time: the conditional test of two Poisson rates,
Przyborowski and Wilenski, 1940); and whether the slopes of the outstanding bytes are equal, by both 95 %
intervals.
"""

from __future__ import annotations

from math import comb, erfc, sqrt

import numpy as np
import pandas as pd

from slabtrace.analysis.names.frames import NO_SYMBOL, comparable, module_of
from slabtrace.columns import DIFF
from slabtrace.errors import UsageError

LEVEL = 0.01
MANY = 500  # objects
Z95 = 1.96
NEW, GONE, GROWN, SHRUNK, SAME = STATES = ("new", "gone", "grown", "shrunk", "same")
FOUND = (NEW, GROWN)
SUMMED = ("outstanding", "bytes_alloc", "growth_bytes_per_s", "growth_variance")
SHOWN = {"outstanding": "outstanding", "bytes": "bytes_alloc", "growth": "growth_bytes_per_s"}
COLUMNS = DIFF.names


def diff(old: pd.DataFrame, new: pd.DataFrame, old_ns: int, new_ns: int) -> pd.DataFrame:
    """Rows of Trace.leaks() of two recordings that lasted `old_ns` and `new_ns`, compared: COLUMNS.

    Significant ones first, those that grew most on top.  Raises UsageError where nothing of the two
    can be matched.
    """
    merged = _merged(old) | _merged(new)
    before, after = _keyed(old, merged), _keyed(new, merged)
    if len(before) and len(after) and not set(before.index) & set(after.index):
        raise UsageError(
            "the two traces have no group in common: their stacks cannot be matched",
            "were both recorded with stacks and symbols (kptr_restrict=0)?  Try --by cache",
        )
    both = _side_by_side(before, after)
    frame = _compared(both)
    share = new_ns / max(old_ns + new_ns, 1)
    by_count = _rates_differ(frame["outstanding_old"], frame["outstanding_new"], share)
    frame["p"] = np.minimum(2 * np.minimum(by_count, _slopes_differ(both)), 1.0)
    frame["significant"] = frame["p"] < LEVEL / max(len(frame), 1)
    frame["state"] = _states(frame, old_ns, new_ns)
    return _ordered(frame)


def _side_by_side(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Both recordings' columns by key, _old and _new; a group that one of them lacks has 0 there."""
    both = before.add_suffix("_old").join(after.add_suffix("_new"), how="outer")
    numbers = [f"{name}_{side}" for name in SUMMED for side in ("old", "new")]
    both[numbers] = both[numbers].fillna(0.0)
    return both


def _compared(both: pd.DataFrame) -> pd.DataFrame:
    """The columns that are shown, without state and significance."""
    frame = pd.DataFrame(index=both.index)
    for name, column in SHOWN.items():
        frame[f"{name}_old"], frame[f"{name}_new"] = both[f"{column}_old"], both[f"{column}_new"]
    for name in ("class", "own", "why", "module"):
        frame[name] = both[f"{name}_new"].where(both[f"{name}_new"].notna(), both[f"{name}_old"])
    frame["cache"], frame["stack"] = [key[0] for key in both.index], [list(key[1:]) for key in both.index]
    return frame


def _merged(groups: pd.DataFrame) -> set[tuple[str, ...]]:
    """The (cache, function) of groups with several stacks: another recording may show another one."""
    several = groups[groups["stacks"] > 1]
    return {
        _key(cache, [], symbol) for cache, symbol in zip(several["cache"], several["symbol"], strict=True)
    }


def _key(cache: str, stack: list[str], symbol: str) -> tuple[str, ...]:
    return cache, *comparable(stack or ([symbol] if symbol else []))


def _keyed(groups: pd.DataFrame, merged: set[tuple[str, ...]]) -> pd.DataFrame:
    """`groups` by what can be compared; groups with the same key are added up."""
    frame = groups.copy()
    stacks = zip(frame["cache"], frame["stack"], frame["symbol"], strict=True)
    keys = [
        by_function
        if (by_function := _key(cache, [], symbol)) in merged
        else _key(cache, list(stack), symbol)
        for cache, stack, symbol in stacks
    ]
    known = [not key[1:] or set(key[1:]) != {NO_SYMBOL} for key in keys]
    frame["module"] = [next(filter(None, map(module_of, key[1:])), "") for key in keys]
    half = (frame["growth_high"] - frame["growth_low"]) / (2 * Z95)
    frame["growth_variance"] = half**2
    frame["key"] = pd.Series(keys, dtype=object, index=frame.index)
    kept = frame[np.array(known, np.bool_)].groupby("key", sort=False)
    summed = kept[list(SUMMED)].sum()
    first = kept[["class", "own", "why", "module"]].first()
    joined = summed.join(first)
    joined.index = pd.Index(list(joined.index), tupleize_cols=False)
    return joined


def _rates_differ(old: pd.Series, new: pd.Series, share: float) -> np.ndarray:
    """Two-sided p of the conditional test, for each pair of numbers."""
    pairs = zip(old.astype(int).tolist(), new.astype(int).tolist(), strict=True)
    return np.array([_binomial(more, less + more, share) for less, more in pairs])


def _binomial(found: int, total: int, share: float) -> float:
    """Two-sided p that of `total` objects, each here with the probability `share`, `found` are here.

    Exact for few; for many the normal approximation, with a correction for continuity.
    """
    if total > MANY:
        away = max(abs(found - total * share) - 0.5, 0.0) / sqrt(total * share * (1 - share))
        return erfc(away / sqrt(2))
    tail = range(found + 1) if found <= total * share else range(found, total + 1)
    return min(2 * sum(comb(total, n) * share**n * (1 - share) ** (total - n) for n in tail), 1.0)


def _slopes_differ(both: pd.DataFrame) -> np.ndarray:
    """Two-sided p that the slopes are equal; 1 where a recording has no slope, or both are certain of 0."""
    change = (both["growth_bytes_per_s_new"] - both["growth_bytes_per_s_old"]).to_numpy(float)
    error = np.sqrt((both["growth_variance_old"] + both["growth_variance_new"]).to_numpy(float))
    away = np.where(error > 0, np.abs(change) / np.maximum(error, 1e-12), 0.0)
    return np.array([erfc(z / sqrt(2)) for z in np.nan_to_num(away).tolist()])


def _states(frame: pd.DataFrame, old_ns: int, new_ns: int) -> np.ndarray:
    rate_old = frame["outstanding_old"] / max(old_ns, 1)
    rate_new = frame["outstanding_new"] / max(new_ns, 1)
    grows = frame["growth_new"] - frame["growth_old"]
    more = (rate_new > rate_old) | ((rate_new == rate_old) & (grows > 0))
    cases = [frame["outstanding_old"] == 0, frame["outstanding_new"] == 0, ~frame["significant"], more]
    return np.select(cases, [NEW, GONE, SAME, GROWN], SHRUNK)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Significant ones first; the recorder's own last; most added bytes on top."""
    order = pd.DataFrame(
        {
            "own": frame["own"].astype(bool),
            "significant": ~frame["significant"],
            "state": [STATES.index(each) for each in frame["state"]],
            "bytes": -(frame["bytes_new"] - frame["bytes_old"]),
        }
    )
    keys = ["own", "significant", "state", "bytes"]
    return frame.loc[order.sort_values(keys, kind="stable").index, list(COLUMNS)].reset_index(drop=True)
