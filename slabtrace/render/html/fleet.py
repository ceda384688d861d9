# SPDX-License-Identifier: Apache-2.0
"""The page about a fleet: what its template shows, made of the report.

It is short however large the fleet is: it has the issues that pass the gate, and says what is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from slabtrace.render.html.page import render
from slabtrace.render.html.spark import spark
from slabtrace.render.terminal.machine import fleet as words

CARDS, FEW, UNREAD, BUILDS = 30, 20, 200, 40  # shown at most


def fleet_page(version: str, report: Mapping[str, Any]) -> bytes:
    """The page, made by slabtrace `version`, as UTF-8."""
    gated = [each for each in report["findings"] if each["gate"] != words.FEW]
    few = [each for each in report["findings"] if each["gate"] == words.FEW]
    return render(
        "fleet.html",
        version,
        report=report,
        head=words.head(report),
        cards=[_card(each, report["hosts"]) for each in gated[:CARDS]],
        hidden_cards=max(len(gated) - CARDS, 0),
        few=[_card(each, report["hosts"]) for each in few[:FEW]],
        hidden_few=max(len(few) - FEW, 0) + report["below_gate_not_shown"],
        unread=report["unread"][:UNREAD],
        hidden_unread=max(len(report["unread"]) - UNREAD, 0),
        doubtful=report["doubtful"][:UNREAD],
        reasons=words.reasons(report["unread"])[:UNREAD],
        builds=report["builds"][:BUILDS],
        hidden_builds=max(len(report["builds"]) - BUILDS, 0),
        unread_share=len(report["unread"]) / max(report["traces"] + len(report["unread"]), 1),
    )


def _card(finding: Mapping[str, Any], hosts: int) -> dict[str, Any]:
    """A finding with its sentences."""
    return {
        **finding,
        "shares": _shares(finding, hosts),
        "hosts_said": words.hosts_sentence(finding),
        "growth_said": words.growth_sentence(finding),
        "common_said": words.association_sentences(finding),
        "first_said": words.first_sentence(finding),
        "since_said": words.since_sentence(finding),
        "certain": words.per_day(finding["growth_low_per_day"]),
        "spark": spark(
            _bins(finding), "Affected hosts by growth in half octaves, slow ones to the left", from_zero=True
        ),
        "outlier_rows": [
            {**each, "growth": words.per_day(each["growth_per_day"])} for each in finding["outliers"]
        ],
        "worst": [
            {**each, "growth": words.per_day(each["growth_low_per_day"]), "link": _link(each["place"])}
            for each in finding["worst"]
        ],
    }


def _shares(finding: Mapping[str, Any], hosts: int) -> list[tuple[str, float, float]]:
    """The bar of affected, clear and unknown hosts: (kind, from, width) in percent."""
    found, at = [], 0.0
    for kind in ("affected", "unknown", "clear"):
        width = 100 * finding[kind] / max(hosts, 1)
        found.append((kind, round(at, 3), round(width, 3)))
        at += width
    return found


def _bins(finding: Mapping[str, Any]) -> list[float]:
    """Hosts in each bin from the first to the last, with an empty one at both ends."""
    bins = dict(tuple(each) for each in finding["growth_bins"])
    if not bins:
        return []
    return [float(bins.get(at, 0)) for at in range(min(bins) - 1, max(bins) + 2)]


def _link(place: str) -> str:
    """A link to a trace on this machine; what lies elsewhere has none.  No text of it becomes a scheme."""
    return f"file://{quote(place)}" if place.startswith("/") else ""
