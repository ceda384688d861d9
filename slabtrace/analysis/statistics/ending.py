# SPDX-License-Identifier: Apache-2.0
"""Whether events that came have ended: nothing for too long, or far fewer in the last quarter.

Example: 500 objects came evenly in the first 60 s of 64 s, then none.  Had they gone on to come at random
times, a gap of 4 s at the end would have the probability (60 / 64)^500 = 1e-14: they have ended.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.statistics.binomial import at_most

GAP_LEVEL = 0.015  # a gap at the end that is less likely means an end
LATE_LEVEL = 0.01  # so does a last quarter with so few, if it has
LATE_SHARE = 0.15  # a smaller share of the events than this (0.25 is fair)


def ended(times: NDArray[np.float64], length: float, dispersion: float = 1.0) -> bool:
    """Whether events at `times`, shape (n,), ascending, in [0, length], no longer come.

    `dispersion`: how many of them count as one (dispersion.py).
    """
    if not len(times) or length <= 0:
        return False
    number = max(int(len(times) / dispersion), 1)
    if (min(float(times[-1]) / length, 1.0)) ** number < GAP_LEVEL:
        return True
    late = len(times) - int(np.searchsorted(times, 0.75 * length))
    few = at_most(round(late / dispersion), number, 0.25) < LATE_LEVEL
    return bool(few and late < LATE_SHARE * len(times))
