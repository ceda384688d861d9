# SPDX-License-Identifier: Apache-2.0
"""The verdict on a recording: what it found, and the least leak that it would have found.

Example: 60 s in which 100 groups were tested.  "No leak found. A leak of one object every 2.45 s would have
been found with 95 % certainty, if others of its kind die young; record 9 min 00 s longer to find one every
24.5 s."
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.freeing.paths import freed_unseen
from slabtrace.analysis.holders.classes import PROCESS
from slabtrace.analysis.leaks.findings import GROWING, RECLAIMABLE, SUSPECT, lost
from slabtrace.analysis.statistics.limits import expected_needed
from slabtrace.analysis.trust.filters import filter_options
from slabtrace.analysis.trust.foreign import limits as foreign_limits
from slabtrace.analysis.trust.foreign import refusals, seen_all
from slabtrace.trace.manifest import Manifest
from slabtrace.units import duration, growth, percent, plural

TENTH = 10
CACHES_SHOWN = 3
MUCH_LOST = 0.01  # of the events
NO_LIST = "No list of leaks is given."
NONE = 1e-9  # so that nothing is divided by 0, if all was lost


@dataclass
class Verdict:
    """`suspects`, `growing`: findings of these classes, slabtrace's own left out.

    `least_rate_per_s`: the least rate (objects a second) of a leak that this recording would have found with
    95 % certainty, where nothing else comes and goes at the same stack; None: it is too short to find any.
    `longer_ns`: how much longer to record to find a tenth of it.  `limits`: what is not judged: what the
    recording left out on request, what was lost, parts of a series that are missing.  `refused`: why nothing
    can be said of leaks, of a recording of another tool; then there are no findings.  `sentences`: all this
    in words.  `lost`: findings whose objects nothing points at, young ones left out; `held_by_processes`:
    suspects that processes hold.
    """

    suspects: int = 0
    growing: int = 0
    growth_bytes_per_s: float = 0.0
    least_rate_per_s: float | None = None
    longer_ns: int | None = None
    limits: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    lost: int = 0
    held_by_processes: int = 0


def verdict(
    findings: pd.DataFrame,
    tests: int,
    ages: Ages,
    manifest: Manifest,
    cut: bool = False,
    length_ns: int | None = None,
) -> Verdict:
    """The verdict on `findings`, which had to stand out among so many `tests`.

    `cut`: a part of the series could not be carried, so only the time since then is judged.  `length_ns`: the
    time in which objects can have come, which the checks at the end are no part of (None: all of `ages`).
    """
    length_ns = ages.length_ns if length_ns is None else length_ns
    others = findings[~findings["own"].astype(bool)]
    suspects = others[others["class"] == SUSPECT]
    growing = others[others["class"] == GROWING]
    made = Verdict(
        suspects=len(suspects),
        growing=len(growing),
        lost=int(lost(others).sum()),
        held_by_processes=int((suspects["held"] == PROCESS).sum()),
        growth_bytes_per_s=float(suspects["growth_bytes_per_s"].sum()),
    )
    old_ns = ages.length_ns - int(ages.horizons_ns[0]) if len(ages.horizons_ns) else 0
    if time_s := min(old_ns, length_ns) / 1e9:
        needed = expected_needed(tests)
        made.least_rate_per_s = (
            needed * manifest.sampled_one_in / time_s / max(1.0 - lost_share(manifest), NONE)
        )
        made.longer_ns = (TENTH - 1) * length_ns
    made.refused = refusals(manifest)
    made.limits = limits(manifest) + _unseen(others)
    if made.suspects or made.growing:
        made.limits += _not_inspected(manifest)
    if cut:
        made.limits.append(
            "An earlier part of the series could not be carried: "
            f"this is of the last {duration(ages.length_ns)}."
        )
    if made.refused or not seen_all(manifest):
        made.least_rate_per_s = made.longer_ns = None
    if made.refused:
        made.sentences = [NO_LIST, *made.refused, *made.limits]
    else:
        could_have = [_could_have(made, length_ns)] if seen_all(manifest) else []
        made.sentences = [_found(made), *_of_holders(made), *could_have, *made.limits]
    return made


def limits(manifest: Manifest) -> list[str]:
    """What a recording left out on request, and which share of the events was lost, in a sentence each."""
    given, lost = " ".join(filter_options(manifest)), lost_share(manifest)
    found = [f"Recorded with {given}: other objects were not looked for."] if given else []
    if lost >= MUCH_LOST:
        found.append(f"{percent(lost)} of all events were lost: what was allocated in these was not seen.")
    return [*found, *foreign_limits(manifest)]


def lost_share(manifest: Manifest) -> float:
    """The share of the events that were lost (0 to 1).  Of a leak, as many are missing."""
    totals = manifest.totals
    seen = totals.events + 2 * totals.counted  # an object that is only counted has two events
    dropped = totals.dropped
    if manifest.foreign is not None:
        dropped += manifest.foreign.lost + manifest.foreign.absent
    return dropped / max(seen + dropped, 1)


def _unseen(findings: pd.DataFrame) -> list[str]:
    """Of which objects a leak had to be faster to be found, because most of their frees were not seen."""
    undecided = findings[~findings["class"].isin([SUSPECT, RECLAIMABLE])]
    rows = zip(undecided["cache"], undecided["freed_by"], undecided["freed"], undecided["old"], strict=True)
    caches = {cache: None for cache, places, freed, old in rows if old and freed_unseen(places, freed)}
    if not caches:
        return []
    named = ", ".join([*caches][:CACHES_SHOWN]) + (", …" if len(caches) > CACHES_SHOWN else "")
    return [f"Most frees of objects of {named} were not seen: of these only a faster leak would be found."]


def _not_inspected(manifest: Manifest) -> list[str]:
    """Why it is not known who holds the objects, or not of all, where that was asked."""
    account = manifest.inspection
    if account is None or not account.problem:
        return []
    known = "may be known of some only" if account.objects else "is not known"
    return [f"Who holds the objects {known}: {account.problem}."]


def _found(made: Verdict) -> str:
    if made.suspects:
        leaks = f"{plural(made.suspects, 'suspected leak')}, {growth(made.growth_bytes_per_s)} in all"
    elif made.lost:
        leaks = f"{plural(made.lost, 'finding')} lost: nothing points at the objects, so nobody can free them"
    else:
        leaks = "No leak found"
    more = f"; {plural(made.growing, 'finding')} growing, undecided" if made.growing else ""
    return f"{leaks}{more}."


def _of_holders(made: Verdict) -> list[str]:
    """What the inspection adds: leaks of the kernel, and of processes."""
    lost = [f"Nothing points at the objects of {plural(made.lost, 'finding')}: they are lost."]
    held = [
        f"Processes hold the objects of {plural(made.held_by_processes, 'suspect')}: a leak of user space."
    ]
    return (lost if made.lost and made.suspects else []) + (held if made.held_by_processes else [])


def _could_have(made: Verdict, length_ns: int) -> str:
    if made.least_rate_per_s is None:
        return f"{duration(length_ns)} are too short to find a leak: record for a minute or more."
    every = duration(1e9 / made.least_rate_per_s)
    tenth = duration(TENTH * 1e9 / made.least_rate_per_s)
    return (
        f"A leak of one object every {every} would have been found with 95 % certainty, if others of its "
        f"kind die young; record {duration(made.longer_ns)} longer to find one every {tenth}."
    )
