# SPDX-License-Identifier: Apache-2.0
"""Compares two answers that may differ only by a one-to-one replacement, as `pack --redact` makes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

ADDRESS = re.compile(r"(?<!\+)0x[0-9a-f]+")  # not an offset in a function
MADE_UP = re.compile(r"0x(5ab0|7e87)[0-9a-f]{12}")
COUNTED = re.compile(r"\(\d+ of\s+them\)")  # batches of a cut file: its first may be empty
FILTERED_BY = re.compile(r"(?<=--comm )[^\s.]+")  # as verdicts and the list of filters name it
MAY_DIFFER = {"trace", "manifest"}  # keys in the JSON of commands
MAY_DIFFER |= {"version", "srcversion", "build_id", "begin", "size"}  # of modules
ADDRESSES = {"ptr", "cache", "call_site", "free_call_site", "addresses"}
PIDS = {"pid", "pids", "tid", "tgid", "alloc_tid", "free_tid", "process"}
NAMES = {"comm", "comms"}
STACKS = {"stack_id"}


class Renaming:
    """The comparison; `pairs` has every original value with its replacement."""

    def __init__(self) -> None:
        self.pairs: set[tuple[Any, Any]] = set()

    def check(self) -> None:
        """Check that equal values have equal replacements, and the reverse."""
        assert len({a for a, _ in self.pairs}) == len({b for _, b in self.pairs}) == len(self.pairs)

    def tables(self, true: dict[str, pd.DataFrame], made: dict[str, pd.DataFrame]) -> None:
        """Compare tables, by name."""
        for name in true:
            self.frames(true[name], made[name])

    def frames(self, true: pd.DataFrame, made: pd.DataFrame) -> None:
        """Compare two tables, row by row."""
        assert list(true) == list(made)
        assert len(true) == len(made)
        if "addresses" in true:
            true, made = _ties_in_order(true, made)
        for name in true:
            if true[name].dtype.kind not in "iuf":
                self.compare(true[name].tolist(), made[name].tolist(), name)
            elif name in ADDRESSES | PIDS | STACKS:
                distinct = pd.DataFrame({"a": true[name], "b": made[name]}).drop_duplicates()
                for a, b in zip(distinct["a"].tolist(), distinct["b"].tolist(), strict=True):
                    self.compare(a, b, name)
            else:
                np.testing.assert_array_equal(true[name], made[name], name)

    def compare(self, true: Any, made: Any, key: str = "") -> None:
        """Compare two values of the same `key`."""
        if key in MAY_DIFFER:
            return
        assert type(true) is type(made), key
        if isinstance(true, dict):
            assert list(true) == list(made)
            for each in true:
                self.compare(true[each], made[each], each)
        elif isinstance(true, (list, tuple)):
            assert len(true) == len(made), key
            for one, other in zip(true, made, strict=True):
                self.compare(one, other, key)
        elif key in STACKS:
            assert (true < 0 and true == made) or made >= 0
            self.pairs.add((f"stack {true}", f"stack {made}"))
        elif true and (key in NAMES or (key in ADDRESSES | PIDS and not isinstance(true, str))):
            self.pairs.add((f"{key in NAMES} {key in PIDS} {true}", made))
            assert {
                key in NAMES: lambda: re.fullmatch(r"task-\d+", made),
                key in PIDS: lambda: made > 1 << 22,
                key in ADDRESSES: lambda: MADE_UP.fullmatch(f"{made:#x}"),
            }[True](), key
        elif isinstance(true, str):
            self._texts(true, made, key)
        else:
            assert true == made or (true != true and made != made), key

    def _texts(self, true: str, made: str, key: str) -> None:
        """Compare texts that contain addresses, and the name that a recording was filtered by."""
        names = list(zip(FILTERED_BY.findall(true), FILTERED_BY.findall(made), strict=True))
        assert all(re.fullmatch(r"task-\d+", each) for _, each in names), made
        self.pairs.update((f"True False {a}", b) for a, b in names)
        true, made = FILTERED_BY.sub("", true), FILTERED_BY.sub("", made)
        addresses = list(zip(ADDRESS.findall(true), ADDRESS.findall(made), strict=True))
        assert all(MADE_UP.fullmatch(each) for _, each in addresses), made
        self.pairs.update((f"False False {int(a, 16)}", int(b, 16)) for a, b in addresses)
        assert COUNTED.sub("", ADDRESS.sub("", true)) == COUNTED.sub("", ADDRESS.sub("", made)), key


def _ties_in_order(true: pd.DataFrame, made: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sort rows of stacks that have equal numbers by their frames, as their order depends on hashes."""
    numbers = true.select_dtypes("number").columns
    pd.testing.assert_frame_equal(true[numbers], made[numbers])
    texts = (frame["stack"].map(lambda stack: ADDRESS.sub("", str(stack))) for frame in (true, made))
    keyed = (frame.assign(key=text) for frame, text in zip((true, made), texts, strict=True))
    by = [*numbers, "cache", "key"]
    a, b = (each.sort_values(by, kind="stable").drop(columns="key").reset_index(drop=True) for each in keyed)
    return a, b
