# SPDX-License-Identifier: Apache-2.0
"""The verdict on a recording: what it found, and the least leak that it would have found.

Example: 60 s in which 100 groups were tested.  "No leak found. A leak of one object every 2.45 s would have
been found with 95 % certainty; record 9 min 00 s longer to find one every 24.5 s."
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.leaks.findings import GROWING, SUSPECT
from slabtrace.analysis.statistics.limits import expected_needed
from slabtrace.analysis.trust.filters import filter_options
from slabtrace.trace.manifest import Manifest
from slabtrace.units import duration, growth, percent, plural

TENTH = 10
MUCH_LOST = 0.01  # of the events
NONE = 1e-9  # so that nothing is divided by 0, if all was lost


@dataclass
class Verdict:
    """`suspects`, `growing`: findings of these classes, slabtrace's own left out.

    `least_rate_per_s`: the least rate (objects a second) of a leak that this recording would have found with
    95 % certainty, where nothing else comes and goes at the same stack; None: it is too short to find any.
    `longer_ns`: how much longer to record to find a tenth of it.  `limits`: what is not judged: what the
    recording left out on request, what was lost, parts of a series that are missing.  `sentences`: all this
    in words.
    """

    suspects: int = 0
    growing: int = 0
    growth_bytes_per_s: float = 0.0
    least_rate_per_s: float | None = None
    longer_ns: int | None = None
    limits: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def verdict(findings: pd.DataFrame, tests: int, ages: Ages, manifest: Manifest, cut: bool = False) -> Verdict:
    """The verdict on `findings`, which had to stand out among so many `tests`.

    `cut`: a part of the series could not be carried, so only the time since then is judged.
    """
    others = findings[~findings["own"].astype(bool)]
    suspects = others[others["class"] == SUSPECT]
    growing = others[others["class"] == GROWING]
    made = Verdict(len(suspects), len(growing), float(suspects["growth_bytes_per_s"].sum()))
    if len(ages.horizons_ns):
        time_s = (ages.length_ns - int(ages.horizons_ns[0])) / 1e9
        needed = expected_needed(tests)
        made.least_rate_per_s = (
            needed * manifest.sampled_one_in / time_s / max(1.0 - lost_share(manifest), NONE)
        )
        made.longer_ns = (TENTH - 1) * ages.length_ns
    made.limits = limits(manifest)
    if cut:
        made.limits.append(
            "An earlier part of the series could not be carried: "
            f"this is of the last {duration(ages.length_ns)}."
        )
    made.sentences = [_found(made), _could_have(made, ages.length_ns), *made.limits]
    return made


def limits(manifest: Manifest) -> list[str]:
    """What a recording left out on request, and which share of the events was lost, in a sentence each."""
    given, lost = " ".join(filter_options(manifest)), lost_share(manifest)
    found = [f"Recorded with {given}: other objects were not looked for."] if given else []
    if lost >= MUCH_LOST:
        found.append(f"{percent(lost)} of all events were lost: what was allocated in these was not seen.")
    return found


def lost_share(manifest: Manifest) -> float:
    """The share of the events that found no room in the rings (0 to 1).  Of a leak, as many are missing."""
    totals = manifest.totals
    seen = totals.events + 2 * totals.counted  # an object that is only counted has two events
    return totals.dropped / max(seen + totals.dropped, 1)


def _found(made: Verdict) -> str:
    if made.suspects:
        leaks = f"{plural(made.suspects, 'suspected leak')}, {growth(made.growth_bytes_per_s)} in all"
    else:
        leaks = "No leak found"
    more = f"; {plural(made.growing, 'finding')} growing, undecided" if made.growing else ""
    return f"{leaks}{more}."


def _could_have(made: Verdict, length_ns: int) -> str:
    if made.least_rate_per_s is None:
        return f"{duration(length_ns)} are too short to find a leak: record for a minute or more."
    every = duration(1e9 / made.least_rate_per_s)
    tenth = duration(TENTH * 1e9 / made.least_rate_per_s)
    return (
        f"A leak of one object every {every} would have been found with 95 % certainty; "
        f"record {duration(made.longer_ns)} longer to find one every {tenth}."
    )
