# SPDX-License-Identifier: Apache-2.0
"""Which issues are worth a reader's time, and in which order.

An issue passes the gate if it is a suspect on three hosts or more, or on one if it is confirmed and fills
the host's memory within 30 days.  Only those are tested for associations: each test that is not made leaves
the others more power.  They are ranked by certain growth, summed over the affected hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slabtrace.fleet.merging.hosts import Host
from slabtrace.fleet.merging.merged import Grown, Row
from slabtrace.fleet.merging.presence import Issue, Presence, issues_of, presence

HOSTS, ALONE, FEW = "hosts", "alone", "few"  # FEW: neither of both
LEAST_HOSTS = 3
SOON_S = 30 * 86_400
MOST_FEW = 20  # issues below the gate that are listed


class Ranked(NamedTuple):
    """An issue with its place in the order.  `gate`: HOSTS, ALONE or FEW."""

    gate: str
    present: Presence

    @property
    def low(self) -> int:
        """Certain growth over all affected hosts, bytes a day."""
        return sum(grown.low for _, grown in self.present.deciding.values())


def ranked(hosts: Sequence[Host]) -> tuple[list[Ranked], int]:
    """What passes the gate, in order; then MOST_FEW that do not; and how many more of these there are."""
    issues = issues_of([row for host in hosts for boot in host.boots for row in boot])
    place = {row.facts["fingerprint"]: at for at, host in enumerate(hosts) for row in host.newest}
    passed: list[Issue] = []
    below: list[Issue] = []
    for issue in issues:
        on = {
            place[row.facts["fingerprint"]] for row, _ in issue.suspects if row.facts["fingerprint"] in place
        }
        worth = len(on) >= LEAST_HOSTS or any(_fills_soon(row, grown) for row, grown in issue.suspects)
        (passed if worth else below).append(issue)
    below.sort(key=lambda issue: (-_lows(issue), issue.signature))
    made = [_gated(presence(issue, hosts)) for issue in (*passed, *below[:MOST_FEW])]
    order = (HOSTS, ALONE, FEW)
    made.sort(key=lambda each: (order.index(each.gate), -each.low, each.present.issue.signature))
    return [each for each in made if each.present.deciding or each.present.went_away], max(
        len(below) - MOST_FEW, 0
    )


def full_in_s(row: Row, grown: Grown) -> int | None:
    """Seconds until the host's whole memory is full of it, at its measured growth; None: not known.

    Other things need memory as well, so it happens earlier.
    """
    free = row.facts["memory_bytes"] - grown.bytes
    return (
        max(free, 0) * 86_400 // grown.growth if grown.growth > 0 and row.facts["memory_bytes"] > 0 else None
    )


def _lows(issue: Issue) -> int:
    return sum(grown.low for _, grown in issue.suspects)


def _fills_soon(row: Row, grown: Grown) -> bool:
    full = full_in_s(row, grown)
    return grown.sure and full is not None and full <= SOON_S


def _gated(present: Presence) -> Ranked:
    if len(present.deciding) >= LEAST_HOSTS:
        return Ranked(HOSTS, present)
    soon = any(_fills_soon(*each) for each in present.deciding.values())
    return Ranked(ALONE if soon else FEW, present)
