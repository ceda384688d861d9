# SPDX-License-Identifier: Apache-2.0
"""Times of a recording by the marks that were set while it ran."""

from __future__ import annotations

from difflib import get_close_matches

import pandas as pd

from slabtrace.errors import UsageError


def moment(named: str | int, marks: pd.DataFrame, after_ns: int = -1) -> int:
    """ns since the recording's start: `named` itself, or the first mark of that text after `after_ns`.

    `marks`: columns ts_ns, text.  Raises UsageError if there is no such mark; its hint lists the marks.
    """
    if isinstance(named, int):
        return named
    known = marks[(marks["text"] == named) & (marks["ts_ns"] > after_ns)]
    if len(known):
        return int(known["ts_ns"].min())
    texts = list(dict.fromkeys(marks["text"]))
    if named in texts:
        raise UsageError(f"no mark {named!r} comes after the begin", "--from must be earlier than --to")
    if not texts:
        raise UsageError(
            f"there is no mark {named!r}: the trace has no marks",
            "set marks while recording: slabtrace mark TEXT",
        )
    close = get_close_matches(named, texts, 3, 0.5) or texts[:5]
    raise UsageError(f"there is no mark {named!r}", f"the marks are: {', '.join(map(repr, close))}")
