# SPDX-License-Identifier: Apache-2.0
"""Which of many findings stand out, when all of them were looked at.

Of 300 groups that do not leak, three have p below 1 % by chance.  So p is compared with LEVEL times its
rank by the number of tests (Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", JRSS B
57, 1995): among what stands out, one in a hundred is wrong; where nothing leaks, one recording in a
hundred has a finding. Groups with so few objects that they could not stand out in any case do not count
as tests (R. E. Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.01


def stand_out(
    p: NDArray[np.float64], least_p: NDArray[np.float64], level: float = LEVEL
) -> NDArray[np.bool_]:
    """Which of the tests with these `p` stand out, shape (n,).

    `least_p`: the least p that each test could have had with as many objects.  `level`: of the whole.
    """
    tests = number_of_tests(least_p, level)
    order = np.argsort(p, kind="stable")
    below = p[order] <= level * np.arange(1, len(p) + 1) / max(tests, 1)
    found = np.zeros(len(p), np.bool_)
    if below.any():
        found[order[: int(np.flatnonzero(below)[-1]) + 1]] = True
    return found & (least_p <= level / max(tests, 1))


def number_of_tests(least_p: NDArray[np.float64], level: float = LEVEL) -> int:
    """The least number k so that at most k tests could reach `level` / k."""
    tests = np.arange(1, len(least_p) + 1)
    could = np.searchsorted(np.sort(least_p), level / tests, side="right")
    return int(np.argmax(could <= tests)) + 1 if len(tests) else 0
