# SPDX-License-Identifier: Apache-2.0
"""Lines in tables, in a sentence and in JSON."""

from __future__ import annotations

import pandas as pd

from slabtrace.lines.shown import Lines, symbols_of
from slabtrace.lines.symbolizers import Location

OWN = Location("alloc_msg", "ipc/msgutil.c", 53)
INLINED = Location("kmalloc", "include/linux/slab.h", 901)
LINES = Lines(
    {"alloc_msg+0x41": [INLINED, OWN], "probe+0x9 [leaky]": [INLINED, OWN]},
    {"f+0x1": ("the kernel", "no debug info was found"), "g+0x1 [odd]": ("odd", "no build id was recorded")},
)


def test_frames_have_the_functions_inlined_there() -> None:
    assert LINES.frames(["alloc_msg+0x41", "f+0x1", "0x123"]) == [
        "kmalloc (include/linux/slab.h:901, inlined)",
        "alloc_msg+0x41 (ipc/msgutil.c:53)",
        "f+0x1",
        "0x123",
    ]
    assert LINES.frame("probe+0x9 [leaky]") == [
        "kmalloc [leaky] (include/linux/slab.h:901, inlined)",
        "probe+0x9 [leaky] (ipc/msgutil.c:53)",
    ]


def test_tables_keep_all_else_and_their_index() -> None:
    event = {"symbol": "alloc_msg+0x41", "stack": ["f+0x1"], "cpu": 3}
    rows = pd.DataFrame(
        {
            "symbol": ["alloc_msg+0x41", "msg_msg"],
            "stack": [["alloc_msg+0x41", "f+0x1"], []],
            "alloc": [event, None],
            "outstanding": [5, 7],
        },
        index=[4, 2],
    )
    assert symbols_of([rows]) == {"alloc_msg+0x41", "f+0x1", "msg_msg"}
    shown = LINES.table(rows)
    assert shown.index.tolist() == [4, 2] and shown["outstanding"].tolist() == [5, 7]
    assert shown["symbol"].tolist() == ["alloc_msg+0x41 (msgutil.c:53)", "msg_msg"]
    assert [len(stack) for stack in shown["stack"]] == [3, 0]
    assert shown["alloc"][4]["symbol"] == "alloc_msg+0x41 (ipc/msgutil.c:53)"
    assert (shown["alloc"][4]["cpu"], shown["alloc"][2]) == (3, None)
    assert rows["symbol"].tolist()[0] == "alloc_msg+0x41", "the table itself is not changed"


def test_the_sentence_counts_and_says_why() -> None:
    assert Lines({"a+0x1": [OWN]}).sentence == Lines().sentence == ""
    assert LINES.sentence == (
        "source lines: 2 of 4 frames have none: 1 of the kernel (no debug info was found); "
        "1 of odd (no build id was recorded)"
    )
    many = Lines({}, {f"f+0x{n} [m{n}]": (f"m{n}", "why") for n in range(9)})
    assert many.sentence.endswith(", 1 of m3, 5 of others (why)")


def test_json() -> None:
    assert LINES.to_json() == {
        "frames": {
            symbol: [
                {"function": "kmalloc", "file": "include/linux/slab.h", "line": 901},
                {"function": "alloc_msg", "file": "ipc/msgutil.c", "line": 53},
            ]
            for symbol in ("alloc_msg+0x41", "probe+0x9 [leaky]")
        },
        "missing": [
            {"of": "the kernel", "reason": "no debug info was found", "symbols": ["f+0x1"]},
            {"of": "odd", "reason": "no build id was recorded", "symbols": ["g+0x1 [odd]"]},
        ],
    }
