# SPDX-License-Identifier: Apache-2.0
"""The rules by which a run passes.  They take rows and numbers, and look nothing up.

A leak: the first finding is a suspect, has the owner's cache, and its bytes are within 2 % of the truth; of a
sample, or among siblings that live on, its rate's interval holds the truth.  There is no other suspect.
A flat load: no suspect at all, and no finding of the load's own processes has a class that its scenario does
not allow.
No finding at all is called lost: what a load leaves, something holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slabtrace.analysis.holders.classes import LOST
from tests.verdict.scenario import Scenario
from tests.verdict.truth import Truth

OFF = 0.02  # of the bytes

Finding = Mapping[str, Any]


@dataclass
class Outcome:
    """What became of one run; it passed if `wrong` is empty.

    `off`: how far the first finding's bytes are from the truth, as a share of it; None: not compared.
    `own_off`: the same of the load's own processes alone, where others may have added to the finding.
    """

    scenario: str
    truth: str
    wrong: list[str] = field(default_factory=list)
    first: str = ""
    first_class: str = "none"
    off: float | None = None
    own_off: float | None = None
    others: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.wrong


def judge(scenario: Scenario, truth: Truth, findings: Sequence[Finding]) -> Outcome:
    """The outcome of a run; `findings`: rows of Trace.findings(), as ranked."""
    outcome = Outcome(scenario.name, scenario.truth)
    if findings:
        outcome.first, outcome.first_class = in_words(findings[0]), findings[0]["class"]
    if scenario.truth == "leak":
        _judge_leak(scenario, truth, findings, outcome)
        others = _without_second_owner(truth, _suspects(findings[1:]))
    else:
        _judge_own(scenario, truth, findings, outcome)
        others = _suspects(findings)
    outcome.others = [_named(each, truth) for each in others]
    outcome.wrong += [f"suspect: {each}" for each in outcome.others]
    outcome.wrong += [f"lost: {_named(each, truth)}" for each in findings if each["held"] == LOST]
    return outcome


def _suspects(findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in findings if each["class"] == "suspect"]


def _judge_leak(scenario: Scenario, truth: Truth, findings: Sequence[Finding], outcome: Outcome) -> None:
    if not findings:
        outcome.wrong.append("no finding")
        return
    first = findings[0]
    if first["class"] != "suspect":
        outcome.wrong.append(f"first is {first['class']}")
    if truth.owner not in first["caches"]:
        outcome.wrong.append(f"first has no {truth.owner}")
    elif scenario.by_rate:
        _judge_rate(truth, first, outcome)
    else:
        _judge_bytes(truth, first, outcome)


def _judge_bytes(truth: Truth, first: Finding, outcome: Outcome) -> None:
    outcome.off = least_off(truth, first)
    if abs(outcome.off) > OFF:
        outcome.wrong.append(f"bytes off by {outcome.off:+.1%}")


def least_off(truth: Truth, finding: Finding) -> float:
    """How far the bytes of a finding are from those of one owner, of the second, or of both."""
    return min((off(finding["bytes_alloc"], truth, each) for each in truth.bytes_each), key=abs)


def off(found: float, truth: Truth, bytes_each: tuple[float, float]) -> float:
    """How far `found` bytes are from the range that the truth allows, as a share of its middle."""
    least, most = truth.least * bytes_each[0], truth.most * bytes_each[1]
    beyond = found - min(max(found, least), most)
    return beyond / ((least + most) / 2) if most else float("inf")


def _judge_rate(truth: Truth, first: Finding, outcome: Outcome) -> None:
    least, most = truth.least / truth.seconds, truth.most / truth.seconds
    if not (first["rate_low"] <= most and least <= first["rate_high"]):
        outcome.wrong.append(f"rate {first['rate_low']:.2f} to {first['rate_high']:.2f}/s, not {least:.2f}")


def _without_second_owner(truth: Truth, suspects: Sequence[Finding]) -> Sequence[Finding]:
    """Without one that the load's second owner explains: it does leak."""
    for number, each in enumerate(suspects):
        if is_own(each, truth) and truth.beside & set(each["caches"]):
            return [*suspects[:number], *suspects[number + 1 :]]
    return suspects


def _judge_own(scenario: Scenario, truth: Truth, findings: Sequence[Finding], outcome: Outcome) -> None:
    """Suspects are counted elsewhere, whoever they belong to."""
    for each in findings:
        if is_own(each, truth) and each["class"] not in (*scenario.may, "suspect"):
            outcome.wrong.append(f"{each['class']}: {in_words(each)}")


def is_own(finding: Finding, truth: Truth) -> bool:
    """Whether the load's processes allocated some of it."""
    return bool(truth.pids & set(finding["pids"]))


def _named(finding: Finding, truth: Truth) -> str:
    whose = "" if is_own(finding, truth) else f" by {','.join(finding['comms'][:3]) or 'nobody known'}"
    return in_words(finding) + whose


def in_words(finding: Finding) -> str:
    """Class, caches, objects and rate of a finding in one line."""
    caches, count = finding["caches"], len(finding["caches"])
    names = " ".join(caches[:2]) + (f" +{count - 2}" if count > 2 else "")
    rate = f"{finding['rate_low']:.2f}..{finding['rate_high']:.2f}/s"
    return f"{finding['class']} {names} {finding['outstanding']} owners {finding['bytes_alloc']} B {rate}"
