# SPDX-License-Identifier: Apache-2.0
"""Fisher's exact test: whether so many of the marked among the drawn are chance (R. A. Fisher, 1935).

Of `total` things `marked` are marked, and `drawn` are drawn without looking; `hits` of these are marked.
The number of hits has the hypergeometric distribution.

Example: 3 of 10 hosts are affected, and all 3 have a module that 4 hosts have: hits 3 of 3, marked 4 of 10.
There are C(4, 3) = 4 of C(10, 3) = 120 ways to choose the affected so: p = 0.033.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.statistics.rates import Z95

SAME = 1e-7  # relative: as likely as what was seen, but for rounding


class Odds(NamedTuple):
    """An odds ratio and its 95 % interval."""

    ratio: float
    low: float
    high: float


def more_hits(hits: int, drawn: int, marked: int, total: int) -> float:
    """The probability of at least `hits` marked ones."""
    least, probabilities = distribution(drawn, marked, total)
    return 1.0 if hits <= least else min(float(probabilities[hits - least :].sum()), 1.0)


def as_unlikely(hits: int, drawn: int, marked: int, total: int) -> float:
    """The probability of a number of hits at most as likely as this one (two-sided)."""
    least, probabilities = distribution(drawn, marked, total)
    seen = probabilities[hits - least]
    return min(float(probabilities[probabilities <= seen * (1 + SAME)].sum()), 1.0)


def least_p(drawn: int, marked: int, total: int) -> float:
    """The least value that `more_hits` can have: as many hits as possible."""
    return more_hits(min(drawn, marked), drawn, marked, total)


def more_hits_in_strata(strata: Sequence[tuple[int, int, int, int]]) -> float:
    """`more_hits` over several strata, each (hits, drawn, marked, total): exact, by convolution.

    Within a stratum the drawn are exchangeable; the sum of hits is compared with what the margins allow.
    """
    seen, least, joint = 0, 0, np.ones(1)
    for hits, drawn, marked, total in strata:
        begin, probabilities = distribution(drawn, marked, total)
        seen, least, joint = seen + hits, least + begin, np.convolve(joint, probabilities)
    return min(float(joint[max(seen - least, 0) :].sum()), 1.0)


def distribution(drawn: int, marked: int, total: int) -> tuple[int, NDArray[np.float64]]:
    """The least possible number of hits, and the probability of it and of each larger number."""
    least, most = max(0, drawn + marked - total), min(drawn, marked)
    hits = np.arange(least, most + 1)
    logs = _choose(marked, hits) + _choose(total - marked, drawn - hits) - _choose(total, np.array([drawn]))
    return least, np.exp(logs)


def odds_ratio(hits: int, drawn: int, marked: int, total: int) -> Odds:
    """The odds of being marked, of the drawn compared with the others.

    With half a thing added to each of the four numbers (J. B. S. Haldane, 1956; F. J. Anscombe, 1956), so
    that it is a number where one of them is 0; its interval is Woolf's.
    """
    cells = hits, drawn - hits, marked - hits, total - drawn - marked + hits
    a, b, c, d = (each + 0.5 for each in cells)
    middle, reach = log(a * d / (b * c)), Z95 * sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return Odds(exp(middle), exp(middle - reach), exp(middle + reach))


def _choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logarithm of n over k."""
    table = _log_factorials(max(n, 1).bit_length())
    chosen: NDArray[np.float64] = table[n] - table[k] - table[n - k]
    return chosen


@lru_cache(maxsize=64)
def _log_factorials(bits: int) -> NDArray[np.float64]:
    """log(k!) for all k of at most so many bits."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 1 << bits, dtype=np.float64)))])
