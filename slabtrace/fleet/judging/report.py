# SPDX-License-Identifier: Apache-2.0
"""The report on a fleet as one JSON object: what could be read, and the issues, ranked.

It depends on nothing but the digests: not on their order, the engine, the number of workers, or
the time of day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

from slabtrace.fleet.judging.associations import Association, Common, associations
from slabtrace.fleet.judging.attributes import attributes_of, build_of
from slabtrace.fleet.judging.details import CLOCK_UNSET_S, details
from slabtrace.fleet.judging.ranking import FEW, Ranked, ranked
from slabtrace.fleet.merging.hosts import Host, hosts_of
from slabtrace.fleet.merging.merged import Merged, Row
from slabtrace.fleet.merging.presence import GROWING
from slabtrace.units import plural

DAY_S = 86_400
MOST_NAMED = 12


def report(
    merged: Merged, unread: Sequence[tuple[str, str]] = (), noted: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """The report.  `unread`: (place, why) of what was not read; `noted`: of what was read with a doubt."""
    rows = merged.rows()
    hosts = hosts_of(rows)
    latest_s = _latest(rows)
    found, more = ranked(hosts)
    gated = [each for each in found if each.gate != FEW]
    attributes = attributes_of([host.row for host in hosts])
    common = associations([each.present for each in gated], attributes)
    common += [Common() for _ in found[len(gated) :]]
    return {
        "schema": "slabtrace.fleet/1",
        **_head(rows, hosts, latest_s),
        "copies": [{"fingerprint": name, "place": place} for name, place in sorted(merged.copies)],
        "unread": [{"place": place, "why": why} for place, why in sorted(unread)],
        "doubtful": [{"place": place, "why": why} for place, why in sorted({*noted, *_doubtful(rows)})],
        "notes": _notes(rows, hosts, latest_s),
        "builds": _builds(hosts),
        "below_gate_not_shown": more,
        "findings": [
            _finding(number, each, its, hosts, latest_s)
            for number, (each, its) in enumerate(zip(found, common, strict=True), 1)
        ],
    }


def _head(rows: Sequence[Row], hosts: Sequence[Host], latest_s: int) -> dict[str, Any]:
    begins = [row.facts["begin_s"] for row in rows if CLOCK_UNSET_S <= row.facts["begin_s"] <= latest_s]
    ends = [row.facts["end_s"] for row in rows if CLOCK_UNSET_S <= row.facts["end_s"] <= latest_s]
    return {
        "hosts": len(hosts),
        "traces": len(rows),
        "boots": sum(len(host.boots) for host in hosts),
        "begin_s": min(begins, default=None),
        "end_s": max(ends, default=None),
    }


def _latest(rows: Sequence[Row]) -> int:
    """A clock that is a year ahead of that of half of the traces is wrong."""
    ends = sorted(row.facts["end_s"] for row in rows)
    return ends[len(ends) // 2] + 366 * DAY_S if ends else 0


def _doubtful(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Traces that were read as far as they go."""
    found = []
    for row in rows:
        facts = row.facts
        if facts["status"] == "recording":
            found.append(
                (row.place, "still recording, or its recorder was killed: read up to its last whole batch")
            )
        elif facts["damage"]:
            found.append((row.place, facts["damage"]))
    return found


def _notes(rows: Sequence[Row], hosts: Sequence[Host], latest_s: int) -> list[str]:
    """What a reader has to know to trust the counts."""
    clocks = sum(not CLOCK_UNSET_S <= row.facts["begin_s"] <= latest_s for row in rows)
    named = Counter(host.row.facts["host"] for host in hosts if host.row.facts["host"])
    shared = sorted(name for name, number in named.items() if number > 1)
    unsure = sum(not host.sure and len([row for boot in host.boots for row in boot]) > 1 for host in hosts)
    tools = sorted({row.facts["tool_version"] for row in rows})
    notes = [
        f"{plural(clocks, 'trace')} with a time of day that cannot be right: not counted for since when."
        if clocks
        else "",
        f"Several hosts have one name, and are numbered: {', '.join(shared[:MOST_NAMED])}." if shared else "",
        f"{plural(unsure, 'host')} with traces without a boot id: hosts of one name count as one."
        if unsure
        else "",
        f"The digests were made by different versions of slabtrace: {', '.join(tools)}."
        if len(tools) > 1
        else "",
    ]
    return [note for note in notes if note]


def _builds(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    counted = Counter(build_of(host.row) for host in hosts)
    return [
        {"build": name, "hosts": counted[name]}
        for name in sorted(counted, key=lambda each: (-counted[each], each))
    ]


def _finding(
    number: int, ranked_one: Ranked, common: Common, hosts: Sequence[Host], latest_s: int
) -> dict[str, Any]:
    present = ranked_one.present
    unknown = present.unknown()
    because = sorted(unknown, key=lambda why: (-unknown[why], why))
    return {
        "rank": number,
        "signature": present.issue.signature,
        "gate": ranked_one.gate,
        "affected": len(present.deciding),
        "clear": len(hosts) - len(present.deciding) - sum(unknown.values()),
        "unknown": sum(unknown.values()),
        "unknown_because": [{"reason": why, "hosts": unknown[why]} for why in because],
        "growing": unknown[GROWING],
        "went_away": present.went_away,
        "associations": [_association(each) for each in common.stands_out],
        "goes_with": [each.attribute.name for each in common.goes_with[:MOST_NAMED]],
        "not_enough_hosts": [each.name for each in common.too_few[:MOST_NAMED]],
        **details(present, hosts, latest_s),
    }


def _association(each: Association) -> dict[str, Any]:
    odds = each.odds
    return {
        "attribute": each.attribute.kind,
        "value": each.attribute.value,
        "test": each.test,
        "p": _rounded(each.p),
        "affected_with": each.hits,
        "affected": each.affected,
        "hosts_with": each.having,
        "hosts_known": each.known,
        "odds": _rounded(odds.ratio),
        "odds_low": _rounded(odds.low),
        "odds_high": _rounded(odds.high),
        "also": list(each.attribute.also),
    }


def _rounded(value: float) -> float:
    """Three digits: another C library may round the last one otherwise."""
    return float(f"{value:.3g}") if isfinite(value) else 0.0
