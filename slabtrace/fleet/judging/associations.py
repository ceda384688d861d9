# SPDX-License-Identifier: Apache-2.0
"""What the affected hosts have in common more often than chance would have it.

For each gated issue and each attribute two tests over hosts: are more of the hosts with it affected
(presence: Fisher, one-sided), and do the affected ones with it grow faster (growth: Mann-Whitney).
All tests of all gated issues are one family: see statistics/discovery.py.  Attributes depend on each other,
so the strongest is named, and another one only if it stands out among hosts that agree on the strongest, too.

Example: 30 of 1,000 hosts are affected, all 30 of the 250 with build B: p = 2e-19.  All hosts of build B have
release R as well: the same hosts, one test.  400 hosts have the label role=db, 12 of them affected: p = 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.statistics import fisher, mann_whitney
from slabtrace.analysis.statistics.discovery import number_of_tests, stand_out
from slabtrace.fleet.judging.attributes import KINDS, Attribute
from slabtrace.fleet.merging.presence import AFFECTED, CLEAR, Presence

PRESENCE, GROWTH = "presence", "growth"
LEVEL = 0.001  # of a report without any association, one in a thousand names one


@dataclass(frozen=True)
class Association:
    """An attribute that goes with an issue.  `hits` of the `affected` hosts have it, `having` of all `known`
    ones; of GROWTH only affected hosts are known.
    """

    attribute: Attribute
    test: str
    p: float
    least_p: float
    hits: int
    affected: int
    having: int
    known: int

    @property
    def odds(self) -> fisher.Odds:
        """The odds ratio of being affected with the attribute."""
        return fisher.odds_ratio(self.hits, self.affected, self.having, self.known)


@dataclass
class Common:
    """What is said of one issue.  `stands_out`: strongest first.  `goes_with`: what the first explains.

    `too_few`: attributes that all affected hosts have, of which no number of hosts here could be significant.
    """

    stands_out: list[Association] = field(default_factory=list)
    goes_with: list[Association] = field(default_factory=list)
    too_few: list[Attribute] = field(default_factory=list)


def associations(present: Sequence[Presence], attributes: Sequence[Attribute]) -> list[Common]:
    """What is said of each issue."""
    tried = [_tested(each, attributes) for each in present]
    family = [test for tests in tried for test in tests]
    p, least = np.array([each.p for each in family]), np.array([each.least_p for each in family])
    found = iter(stand_out(p, least, LEVEL).tolist() if family else [])
    level = LEVEL / max(number_of_tests(least, LEVEL), 1)
    return [
        _common(each, tests, [next(found) for _ in tests], level)
        for each, tests in zip(present, tried, strict=True)
    ]


def _tested(present: Presence, attributes: Sequence[Attribute]) -> list[Association]:
    states = np.array(present.states, object)
    affected, known = states == AFFECTED, (states == AFFECTED) | (states == CLEAR)
    growth = np.array(
        [present.deciding[at][1].growth if at in present.deciding else 0 for at in range(len(states))]
    )
    tests = []
    for each in attributes:
        tests += _presence(each, affected, known)
        tests += _growth(each, affected, growth)
    return tests


def _presence(each: Attribute, affected: NDArray[np.bool_], known: NDArray[np.bool_]) -> list[Association]:
    number, total = int(affected.sum()), int(known.sum())
    having, hits = int((each.hosts & known).sum()), int((each.hosts & affected).sum())
    if not 0 < having < total or number == total:
        return []
    counts = number, having, total
    p, least = fisher.more_hits(hits, *counts), fisher.least_p(*counts)
    return [Association(each, PRESENCE, p, least, hits, *counts)]


def _growth(each: Attribute, affected: NDArray[np.bool_], growth: NDArray[np.int64]) -> list[Association]:
    number, hits = int(affected.sum()), int((each.hosts & affected).sum())
    if not 0 < hits < number:
        return []
    least = mann_whitney.least_p(hits, number - hits)
    if least > LEVEL:
        return []
    p = mann_whitney.larger(growth[each.hosts & affected].tolist(), growth[~each.hosts & affected].tolist())
    return [Association(each, GROWTH, p, least, hits, number, hits, number)]


def _common(present: Presence, tests: Sequence[Association], found: Sequence[bool], level: float) -> Common:
    ordered = sorted(
        (each for each, stands_out in zip(tests, found, strict=True) if stands_out),
        key=lambda each: (
            each.p,
            each.test != PRESENCE,
            KINDS.index(each.attribute.kind),
            each.attribute.value,
        ),
    )
    all_have = [
        each.attribute
        for each in tests
        if each.test == PRESENCE and each.hits == each.affected and each.least_p > level
    ]
    common = Common(ordered[:1], too_few=[] if ordered else all_have)
    for each in ordered[1:]:
        own = each.test == ordered[0].test and _stands_alone(each, ordered[0], present, len(ordered) - 1)
        (common.stands_out if own else common.goes_with).append(each)
    return common


def _stands_alone(each: Association, first: Association, present: Presence, others: int) -> bool:
    """Whether it stands out among hosts with the first attribute and hosts without it, together."""
    if each.test == GROWTH:
        return False
    states = np.array(present.states, object)
    affected, known = states == AFFECTED, (states == AFFECTED) | (states == CLEAR)
    strata = []
    for where in (first.attribute.hosts, ~first.attribute.hosts):
        inside, has = known & where, each.attribute.hosts
        counts = int((affected & where).sum()), int((has & inside).sum()), int(inside.sum())
        strata.append((int((affected & where & has).sum()), *counts))
    return fisher.more_hits_in_strata(strata) <= LEVEL / max(others, 1)
