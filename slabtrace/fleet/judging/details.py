# SPDX-License-Identifier: Apache-2.0
"""What is said of one issue besides its hosts: sums, since when, outliers, variants, the worst recordings.

Sums and medians are of integers, so they are the same for any order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from slabtrace.fleet.judging.attributes import build_of
from slabtrace.fleet.judging.ranking import full_in_s
from slabtrace.fleet.merging.hosts import Host
from slabtrace.fleet.merging.merged import Grown, Row
from slabtrace.fleet.merging.presence import Issue, Presence

MOST_LISTED = 5
MOST_OUTLIERS = 10
FAR = 3.5  # scaled median deviations (B. Iglewicz and D. Hoaglin, 1993)
SCALE = 1.4826  # of a median deviation to a standard deviation
LEAST_OF_COHORT = 5
CLOCK_UNSET_S = 1_577_836_800  # 2020: a clock before was never set


def details(present: Presence, hosts: Sequence[Host], latest_s: int) -> dict[str, Any]:
    """Columns of columns.fleet.FLEET.  `latest_s`: a clock later than this is wrong."""
    deciding = [(hosts[at], *found) for at, found in sorted(present.deciding.items())]
    growths = sorted(grown.growth for _, _, grown in deciding)
    return {
        "growth_low_per_day": sum(grown.low for *_, grown in deciding),
        "growth_per_day": sum(growths),
        "median_growth_per_day": growths[len(growths) // 2] if growths else 0,
        "bytes": sum(grown.bytes for *_, grown in deciding),
        "exact": sum(grown.sure for *_, grown in deciding),
        **_full(deciding),
        **_since(present.issue, latest_s),
        "outliers": _outliers(deciding),
        "variants": _variants(deciding),
        "worst": _worst(deciding),
        "commands": _most(grown.command for *_, grown in deciding),
        "growth_bins": _bins(growths),
        **_example(present.issue),
    }


def half_octave(value: int) -> int:
    """The bin b of a growth: from 2^(b/2) on.  Calculated in integers, so it is exact; 0 for less than 1."""
    if value < 1:
        return 0
    octave = value.bit_length() - 1
    return 2 * octave + (value * value >= 1 << (2 * octave + 1))


Deciding = tuple[Host, Row, Grown]


def _full(deciding: list[Deciding]) -> dict[str, Any]:
    times = [
        (full, host.name) for host, row, grown in deciding if (full := full_in_s(row, grown)) is not None
    ]
    first, name = min(times, default=(None, ""))
    return {"full_in_s": first, "full_host": name}


def _since(issue: Issue, latest_s: int) -> dict[str, Any]:
    """By the time of day and since boot; clocks that are certainly wrong do not count."""
    rows = [row.facts for row, _ in issue.suspects]
    begins = [each["begin_s"] for each in rows if CLOCK_UNSET_S <= each["begin_s"] <= latest_s]
    uptimes = [each["end_ns"] // 10**9 for each in rows]
    return {"since_s": min(begins, default=None), "since_boot_s": min(uptimes, default=None)}


def _outliers(deciding: list[Deciding]) -> list[dict[str, Any]]:
    """Hosts that grow much faster than the affected hosts of their build."""
    cohorts: dict[str, list[Deciding]] = defaultdict(list)
    for each in deciding:
        cohorts[build_of(each[1])].append(each)
    found = []
    for cohort in cohorts.values():
        growths = sorted(grown.growth for *_, grown in cohort)
        middle = growths[len(growths) // 2]
        deviation = sorted(abs(each - middle) for each in growths)[len(growths) // 2]
        if len(cohort) >= LEAST_OF_COHORT and deviation:
            limit = middle + FAR * SCALE * deviation
            found += [(-grown.growth, host.name) for host, _, grown in cohort if grown.growth > limit]
    return [{"host": name, "growth_per_day": -growth} for growth, name in sorted(found)[:MOST_OUTLIERS]]


def _variants(deciding: list[Deciding]) -> list[dict[str, Any]]:
    hosts = Counter(grown.variant for *_, grown in deciding)
    stacks = {
        grown.variant: min(each.stack for *_, each in deciding if each.variant == grown.variant)
        for *_, grown in deciding
    }
    order = sorted(hosts, key=lambda variant: (-hosts[variant], variant))[:MOST_LISTED]
    return [{"variant": each, "hosts": hosts[each], "stack": stacks[each]} for each in order]


def _worst(deciding: list[Deciding]) -> list[dict[str, Any]]:
    order = sorted(deciding, key=lambda each: (-each[2].low, each[0].name))[:MOST_LISTED]
    return [
        {"host": host.name, "trace": row.facts["trace"], "place": row.place, "growth_low_per_day": grown.low}
        for host, row, grown in order
    ]


def _most(names: Any) -> list[str]:
    counted = Counter(name for name in names if name)
    return sorted(counted, key=lambda name: (-counted[name], name))[:MOST_LISTED]


def _bins(growths: list[int]) -> list[list[int]]:
    return [[each, hosts] for each, hosts in sorted(Counter(map(half_octave, growths)).items())]


def _example(issue: Issue) -> dict[str, Any]:
    """Title, stack and object of the trace with the least fingerprint."""
    _, grown = min(issue.suspects, key=lambda each: (each[0].facts["fingerprint"], each[1]))
    return {"title": grown.title, "stack": grown.stack, "object": grown.object}
