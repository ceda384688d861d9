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
from slabtrace.units import duration, growth, plural

TENTH = 10


@dataclass
class Verdict:
    """`suspects`, `growing`: findings of these classes, slabtrace's own left out.

    `least_rate_per_s`: the least rate (objects a second) of a leak that this recording would have found with
    95 % certainty, where nothing else comes and goes at the same stack; None: it is too short to find any.
    `longer_ns`: how much longer to record to find a tenth of it.  `limits`: what is not judged: what the
    recording left out on request, parts of a series that are missing.  `sentences`: all this in words.
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
        made.least_rate_per_s = needed * manifest.sampled_one_in / time_s
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
    """What a recording left out on request, in a sentence; objects of that kind were not looked for."""
    given = " ".join(filter_options(manifest))
    return [f"Recorded with {given}: other objects were not looked for."] if given else []


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
