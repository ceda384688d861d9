# SPDX-License-Identifier: Apache-2.0
"""The differences between two recordings, group by group: new, gone, grown, shrunk; and what grows in both.

What grows (suspect, growing) is compared by its rate; what came once by the number of objects, as it is: a
start leaves the same, however long the recording goes on.  Where only one of the two grows, rates are
compared: a retained group has had none since its newest object, a missing group none at all.
A difference is significant if chance does not explain it (significance.py), at a level of 1 % divided among
the groups that were compared (Bonferroni): of a hundred pairs without a difference, one shows any.

Example: a daemon starts and leaks; recorded for 60 s and for 10 s, and for 10 s without the leak.

    group           60 s         10 s        compared    state      10 s without    state
    its start       997          997         objects     same       997             same
    the leak        120, 2/s     20, 2/s     rate        growing    none            gone
    cached names    840          150         nothing     same       150             same (reclaimable)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.comparing.comparability import unlike_lengths
from slabtrace.analysis.comparing.matching import OF_FIRST, SIDES, side_by_side
from slabtrace.analysis.comparing.significance import none_came, numbers_differ, rates_differ
from slabtrace.columns import DIFF
from slabtrace.errors import UsageError

LEVEL = 0.01
NEW, GONE, GROWN, SHRUNK, GROWING, SAME = STATES = ("new", "gone", "grown", "shrunk", "growing", "same")
OBJECTS, RATE, NOTHING = "objects", "rate", "nothing"  # what was compared

GROWS = ("suspect", "growing")
CAME_ONCE = "retained"
BY_LENGTH = ("young", "replacing", "reclaimable")  # the longer the recording, the more of them
FOUND = (*GROWS, CAME_ONCE)  # classes whose new and grown groups make the exit code 1

SHOWN = {
    "outstanding": "outstanding",
    "bytes": "bytes_alloc",
    "growth": "growth_bytes_per_s",
    "rate": "rate_per_s",
}
COLUMNS = DIFF.names

Numbers = NDArray[np.float64]


class Recording(NamedTuple):
    """How long a recording lasted, and N where it is a sample of one address in N."""

    length_ns: int
    one_in: int = 1


Recordings = dict[str, Recording]  # by SIDES


def diff(
    old: pd.DataFrame, new: pd.DataFrame, old_ns: int, new_ns: int, one_in: tuple[int, int] = (1, 1)
) -> pd.DataFrame:
    """Rows of Trace.leaks() of two recordings that lasted `old_ns` and `new_ns`, compared: COLUMNS.

    `one_in`: N of each, where they are samples of one address in N.  Significant differences come first,
    then what grows in both; those with most added bytes on top.  Raises UsageError where nothing of the two
    can be matched.
    """
    recordings = {"old": Recording(old_ns, one_in[0]), "new": Recording(new_ns, one_in[1])}
    both = side_by_side(old, new)
    if len(old) and len(new) and len(both) and not (~both["missing_old"] & ~both["missing_new"]).any():
        raise UsageError(
            "the two traces have no group in common: their stacks cannot be matched",
            "were both recorded with stacks and symbols (kptr_restrict=0)?  Try --by cache",
        )
    frame = _shown(both, recordings)
    frame["compared"] = _what_is_compared(both, recordings)
    by_rate = (frame["compared"] == RATE).to_numpy(bool)
    frame["p"] = np.where(by_rate, _rates_by_chance(both, recordings), _numbers_by_chance(both, recordings))
    frame.loc[frame["compared"] == NOTHING, "p"] = 1.0
    frame["significant"] = frame["p"] < LEVEL / max(int((frame["compared"] != NOTHING).sum()), 1)
    frame["state"] = _states(frame, both)
    return _ordered(frame)


def found(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of diff() that make the exit code of `slabtrace diff` 1."""
    more = table["significant"] & table["state"].isin([NEW, GROWN])
    return table[more & table["class"].isin(FOUND) & ~table["own"].astype(bool)]


def worth_showing(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of diff() that differ significantly, or grow in both recordings."""
    return table[table["significant"] | (table["state"] == GROWING)]


def _shown(both: pd.DataFrame, recordings: Recordings) -> pd.DataFrame:
    """The columns that describe a group: numbers of both, the rest of the newer one, else of the older."""
    frame = pd.DataFrame(index=both.index)
    for side in SIDES:
        for name, column in SHOWN.items():
            frame[f"{name}_{side}"] = both[f"{column}_{side}"]
        for name in ("growth", "rate"):
            frame[f"{name}_{side}"] = frame[f"{name}_{side}"].astype(float).mask(both[f"missing_{side}"])
        for name in ("outstanding", "bytes"):
            frame[f"{name}_estimate_{side}"] = frame[f"{name}_{side}"] * recordings[side].one_in
        frame[f"class_{side}"] = both[f"class_{side}"].astype(object).where(~both[f"missing_{side}"], None)
    for name in OF_FIRST:
        frame[name] = both[f"{name}_new"].where(~both["missing_new"], both[f"{name}_old"])
    frame["cache"], frame["stack"] = [key[0] for key in both.index], [list(key[1:]) for key in both.index]
    return frame


def _what_is_compared(both: pd.DataFrame, recordings: Recordings) -> NDArray[np.object_]:
    """OBJECTS, RATE or NOTHING, for each group."""
    classes = both[["class_old", "class_new"]]
    unlike = unlike_lengths(recordings["old"].length_ns, recordings["new"].length_ns)
    later = np.zeros(len(both), bool)  # all of it came later than the other recording lasted
    for here, there in (SIDES, SIDES[::-1]):
        came_later = both[f"oldest_ns_{here}"] > recordings[there].length_ns
        later |= (both[f"missing_{there}"] & came_later).to_numpy(bool)
    by_length = classes.isin(BY_LENGTH).any(axis=1).to_numpy(bool) & unlike
    known = both[["rate_per_s_old", "rate_per_s_new"]].notna().all(axis=1).to_numpy(bool)
    grows = classes.isin(GROWS).any(axis=1).to_numpy(bool)
    cases = [grows & known, grows | by_length | later]
    return np.select(cases, [RATE, NOTHING], OBJECTS).astype(object)


def _numbers_by_chance(both: pd.DataFrame, recordings: Recordings) -> Numbers:
    """p of the numbers of outstanding objects; in a sample of one in N there are as many fewer."""
    share = recordings["old"].one_in / (recordings["old"].one_in + recordings["new"].one_in)
    old, new = _floats(both, "outstanding")
    return numbers_differ(old, new, share, np.fmax(*_floats(both, "dispersion")))


def _rates_by_chance(both: pd.DataFrame, recordings: Recordings) -> Numbers:
    """p of the rates."""
    rates, variances = _floats(both, "rate_per_s"), _floats(both, "rate_variance")
    clumps = _floats(both, "dispersion")
    p = rates_differ(*rates, *variances)
    for here, there in ((0, 1), (1, 0)):
        none, seconds = _none_since(both, SIDES[there], recordings[SIDES[there]])
        p = np.where(none, none_came(rates[here], variances[here], clumps[here], seconds), p)
    return p


def _none_since(both: pd.DataFrame, side: str, recording: Recording) -> tuple[NDArray[np.bool_], Numbers]:
    """Whether a group of this recording has stopped, or is missing; and in how many seconds nothing came.

    A sample of one in N would have seen one object in N only: it counts as a recording of an N-th the length.
    """
    missing = both[f"missing_{side}"].to_numpy(bool)
    stopped = (both[f"class_{side}"] == CAME_ONCE).to_numpy(bool)
    newest = np.where(stopped, both[f"newest_ns_{side}"].to_numpy(float), 0.0)
    return missing | stopped, (recording.length_ns - newest) / 1e9 / recording.one_in


def _states(frame: pd.DataFrame, both: pd.DataFrame) -> NDArray[np.object_]:
    grows = [frame[f"class_{side}"].isin(GROWS) for side in SIDES]
    rate = [frame[f"rate_{side}"].where(frame[f"class_{side}"] != CAME_ONCE, 0.0) for side in SIDES]
    objects = [frame[f"outstanding_estimate_{side}"] for side in SIDES]
    more = np.where(frame["compared"] == RATE, rate[1] > rate[0], objects[1] > objects[0])
    differs = frame["significant"]
    cases = [both["missing_old"], both["missing_new"], differs & more, differs, grows[0] & grows[1]]
    return np.select(cases, [NEW, GONE, GROWN, SHRUNK, GROWING], SAME).astype(object)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """What is worth showing first; the recorder's own last; most added bytes on top.  With DIFF's types."""
    order = pd.DataFrame(
        {
            "own": frame["own"].astype(bool),
            "significant": ~frame["significant"],
            "state": [STATES.index(each) if each != GROWING else -1 for each in frame["state"]],
            "bytes": -(frame["bytes_estimate_new"] - frame["bytes_estimate_old"]),
        }
    )
    keys = ["own", "significant", "state", "bytes"]
    ordered = frame.loc[order.sort_values(keys, kind="stable").index, list(COLUMNS)].reset_index(drop=True)
    numbers = {each.name: each.dtype for each in DIFF.columns if each.dtype in ("int64", "float64", "bool")}
    return ordered.astype(numbers)


def _floats(both: pd.DataFrame, name: str) -> tuple[Numbers, Numbers]:
    """A column of both recordings."""
    old, new = (both[f"{name}_{side}"].to_numpy(np.float64) for side in SIDES)
    return old, new
