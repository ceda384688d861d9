# SPDX-License-Identifier: Apache-2.0
"""Groups of two recordings, side by side: matched by names that another boot, build or kernel has as well.

The key of a group is its cache and the functions of its stack (names/frames.py).  A call site whose stacks
were sampled may show another stack in the other recording: where one of them has several, the key is the
function alone.  Groups with the same key are added up.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from slabtrace.analysis.comparing.significance import variance_of
from slabtrace.analysis.leaks.by_design import Fate, by_design
from slabtrace.analysis.names.frames import NO_SYMBOL, comparable, comparable_cache, module_of

Key = tuple[str, ...]

SUMMED = ("outstanding", "bytes_alloc", "growth_bytes_per_s", "rate_per_s", "rate_variance")
OF_FIRST = ("class", "own", "why", "module", "finding")  # of the group that ranks first
SIDES = ("old", "new")


def _of_others(groups: pd.DataFrame) -> pd.DataFrame:
    """`groups` without what the slab allocator keeps for itself, which differs with its slabs."""
    named = zip(groups["cache"], groups["symbol"], groups["stack"], strict=True)
    designs = [by_design(*each) for each in named]
    others: pd.DataFrame = groups.loc[[each is None or each.fate != Fate.KEPT for each in designs]]
    return others


def side_by_side(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Two frames of groups, a row a key (the index), their columns with _old and _new.

    SUMMED are 0 where a recording lacks the group; its class is missing then.
    """
    old, new = _of_others(old), _of_others(new)
    several = _several(old) | _several(new)
    both = _keyed(old, several).add_suffix("_old").join(_keyed(new, several).add_suffix("_new"), how="outer")
    numbers = [f"{name}_{side}" for name in SUMMED for side in SIDES]
    for side in SIDES:
        both[f"missing_{side}"] = both[f"class_{side}"].isna()
        names = [name for name in numbers if name.endswith(side)]
        both.loc[both[f"missing_{side}"], names] = 0
    return both


def _several(groups: pd.DataFrame) -> set[Key]:
    """The (cache, function) of groups with several stacks: another recording may show another one."""
    several = groups[groups["stacks"] > 1]
    return {
        _key(cache, [], symbol) for cache, symbol in zip(several["cache"], several["symbol"], strict=True)
    }


def _key(cache: str, stack: Collection[str], symbol: str) -> Key:
    frames = comparable(stack or ([symbol] if symbol else []))
    return comparable_cache(cache), *(comparable_cache(each) for each in frames)


def _keyed(groups: pd.DataFrame, several: set[Key]) -> pd.DataFrame:
    """`groups` by key; those without any symbol are left out, because nothing says what they are."""
    frame = groups.copy()
    stacks = zip(frame["cache"], frame["stack"], frame["symbol"], strict=True)
    keys = [
        by_function if (by_function := _key(cache, [], symbol)) in several else _key(cache, stack, symbol)
        for cache, stack, symbol in stacks
    ]
    known = [not key[1:] or set(key[1:]) != {NO_SYMBOL} for key in keys]
    frame["module"] = [next(filter(None, map(module_of, key[1:])), "") for key in keys]
    frame["rate_variance"] = variance_of(
        frame["rate_low"].to_numpy(np.float64), frame["rate_high"].to_numpy(np.float64)
    )
    frame["key"] = pd.Series(keys, dtype=object, index=frame.index)
    same = frame[np.array(known, np.bool_)].groupby("key", sort=False)
    ways = dict.fromkeys(OF_FIRST, "first") | {"dispersion": "max", "oldest_ns": "min", "newest_ns": "max"}
    joined = same[list(SUMMED)].sum(min_count=1).join(same.agg(ways))  # not known and not known is not 0
    joined.index = pd.Index(list(joined.index), tupleize_cols=False)
    return joined
