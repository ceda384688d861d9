# SPDX-License-Identifier: Apache-2.0
"""What --json prints is plain JSON whatever types the tables hold, and no digit is lost."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from slabtrace.columns.table import Column, Table
from slabtrace.render import json as render_json


class Colour(IntEnum):
    RED = 7


@dataclass
class Sample:
    exact: bool
    unattached: list[str]
    call_site: int


def test_numpy_and_pandas_values_become_plain() -> None:
    row = {
        "i": np.int64(-3),
        "u": np.uint64(2**64 - 1),
        "f": np.float64(0.5),
        "nan": float("nan"),
        "inf": np.inf,
        "b": np.bool_(True),
        "na": pd.NA,
        "nat": pd.NaT,
        "none": None,
        "stack": np.array(["a", "b"], dtype=object),
        "pids": (np.uint32(4), 5),
        "enum": Colour.RED,
        "nested": {"ptr": np.uint64(0xFFFF888000000040)},
    }
    assert render_json.plain(row) == {
        "i": -3,
        "u": 2**64 - 1,
        "f": 0.5,
        "nan": None,
        "inf": None,
        "b": True,
        "na": None,
        "nat": None,
        "none": None,
        "stack": ["a", "b"],
        "pids": [4, 5],
        "enum": 7,
        "nested": {"ptr": "0xffff888000000040"},
    }


def test_dataclasses_become_objects_and_addresses_strings() -> None:
    assert render_json.plain(Sample(False, ["kfree_rcu"], 0xFFFFFFFF8127BC41)) == {
        "exact": False,
        "unattached": ["kfree_rcu"],
        "call_site": "0xffffffff8127bc41",
    }


def test_rows_have_exactly_the_keys_in_order() -> None:
    frame = pd.DataFrame({"outstanding": [23], "private": [1], "cache": ["msg_msg-128"]})
    defined = tuple(Column(name, "text", "", "") for name in ("cache", "outstanding", "class"))
    (row,) = render_json.rows(frame, Table("groups", "a group", "leaks", defined))
    assert list(row.items()) == [("cache", "msg_msg-128"), ("outstanding", 23), ("class", None)]


def test_hostile_text_reaches_no_terminal_raw() -> None:
    out = io.StringIO()
    render_json.write({"comm": "\x1b]0;x\x07\u202e\x7f"}, out)
    printed = out.getvalue()
    assert printed.isascii() and "\x1b" not in printed and "\x7f" not in printed
    assert json.loads(printed) == {"comm": "\x1b]0;x\x07\u202e\x7f"}
