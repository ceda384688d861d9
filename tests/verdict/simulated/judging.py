# SPDX-License-Identifier: Apache-2.0
"""Gives simulated groups to slabtrace's own tests, as a recording of SECONDS would."""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.counting.ages import horizons
from slabtrace.analysis.leaks.evidence import Evidence, Tested, tested
from slabtrace.analysis.leaks.findings import Circumstances, judge
from tests.verdict.simulated.population import Population
from tests.verdict.simulated.scenarios import SECONDS

LENGTH_NS = SECONDS * 1_000_000_000
HORIZONS = horizons(LENGTH_NS) / LENGTH_NS


def evidence(group: Population) -> Evidence:
    """What a recording counts of a group."""
    died = group.came + group.lives < 1
    lived = group.lives[died]
    older = np.sort(group.older[group.older < 1])
    return Evidence(
        horizons=HORIZONS,
        born=group.came[~died],
        died=np.array([int((lived >= h).sum()) for h in HORIZONS], np.int64),
        beyond=np.array([float((lived[lived >= h] - h).sum()) for h in HORIZONS]),
        older=older,
        weight=np.ones(len(older)),
    )


def classes(results: list[Tested]) -> list[str]:
    """The class of each group of a recording of these groups."""
    none = np.zeros(len(results), np.bool_)
    return judge(results, Circumstances(none, none, none, none)).classes


def recording(groups: list[Population]) -> tuple[list[str], list[Tested]]:
    """(class, tests) of each group of a recording."""
    results = [tested(evidence(group)) for group in groups]
    return classes(results), results
