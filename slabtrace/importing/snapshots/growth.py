# SPDX-License-Identifier: Apache-2.0
"""What grew from snapshot to snapshot, and which outstanding objects of a trace kmemleak reports.

With n snapshots a count changes up to n - 1 times.  Of what comes and goes half of the changes are rises.  A
place grows if it rose so often that this is no chance (sign test), with the correction for many places that
findings have (analysis/statistics/discovery.py).  Two snapshots show a change, but never that it goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from slabtrace.analysis.statistics.binomial import at_least
from slabtrace.analysis.statistics.discovery import stand_out
from slabtrace.columns import SNAPSHOTS
from slabtrace.errors import UsageError
from slabtrace.importing.snapshots.parsing import Count, Snapshot

NOTHING = Count()


def growth(snapshots: Sequence[Snapshot], findings: Mapping[int, int] | None = None) -> pd.DataFrame:
    """columns.SNAPSHOTS: the places of snapshots of one kind, in order of time; what grew most is first.

    `findings`: the finding of each outstanding object by its address; None: there is no trace beside.
    Raises UsageError if they are of several kinds.
    """
    kinds = {each.kind for each in snapshots}
    if len(kinds) > 1:
        raise UsageError(
            f"snapshots of several kinds: {', '.join(sorted(kinds))}", "import each kind on its own"
        )
    if all(each.time_s is not None for each in snapshots):
        snapshots = sorted(snapshots, key=lambda each: each.time_s or 0.0)
    places = dict.fromkeys(place for each in snapshots for place in each.counts)
    length_s = _length_s(snapshots)
    rows = [_row(place, snapshots, length_s) for place in places]
    frame = pd.DataFrame(rows, columns=list(SNAPSHOTS.names))
    frame["grows"] = _grows(frame)
    _join(frame, snapshots[-1], findings)
    order = ["grows", "grown_bytes", "grown_objects", "bytes", "objects"]
    return frame.sort_values(order, ascending=False, kind="stable").reset_index(drop=True).astype(_TYPES)


_TYPES = {
    column.name: column.dtype for column in SNAPSHOTS.columns if not column.dtype.startswith(("text", "list"))
}


def _length_s(snapshots: Sequence[Snapshot]) -> float | None:
    first, last = snapshots[0].time_s, snapshots[-1].time_s
    if len(snapshots) < 2 or first is None or last is None or last <= first:
        return None
    return last - first


def _row(place: str, snapshots: Sequence[Snapshot], length_s: float | None) -> dict[str, object]:
    counts = [each.counts.get(place, NOTHING) for each in snapshots]
    steps = np.diff([count.objects for count in counts])
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    grown = counts[-1].bytes - counts[0].bytes if len(counts) > 1 else 0
    comms = Counter(each.comm for each in snapshots[-1].reported if each.place == place)
    return {
        "source": snapshots[-1].kind,
        "place": place,
        "objects": counts[-1].objects,
        "bytes": counts[-1].bytes,
        "grown_objects": counts[-1].objects - counts[0].objects if len(counts) > 1 else 0,
        "grown_bytes": grown,
        "growth_bytes_per_s": np.nan if length_s is None else grown / length_s,
        "rises": rises,
        "falls": falls,
        "p": at_least(rises, rises + falls) if rises + falls else np.nan,
        "grows": False,
        "oldest": np.nan if counts[-1].oldest is None else counts[-1].oldest,
        "comms": [comm for comm, _ in comms.most_common()],
        "reported": sum(comms.values()),
        "outstanding": 0,
        "finding": 0,
    }


def _grows(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which places rose so often that it is no chance."""
    p = frame["p"].fillna(1.0).to_numpy(np.float64)
    changes = (frame["rises"] + frame["falls"]).to_numpy(np.float64)
    return stand_out(p, 0.5**changes) & (frame["grown_objects"].to_numpy() > 0)


def _join(frame: pd.DataFrame, last: Snapshot, findings: Mapping[int, int] | None) -> None:
    """Count the reported objects that are outstanding in a trace, and name the finding that has most."""
    if findings is None:
        return
    of_place: dict[str, Counter[int]] = {}
    for each in last.reported:
        if each.ptr in findings:
            of_place.setdefault(each.place, Counter())[findings[each.ptr]] += 1
    for row, place in enumerate(frame["place"].tolist()):
        found = of_place.get(place)
        if found:
            frame.loc[row, "outstanding"] = sum(found.values())
            frame.loc[row, "finding"] = found.most_common(1)[0][0]
