# SPDX-License-Identifier: Apache-2.0
"""How many of n things are in a sample of one in N, at most.

Each is in the sample with probability 1/N, independently.  The mean is m = n / N and the variance less, so by
Bernstein's inequality (S. Bernstein, 1924) there are m + t or more with a probability below

    exp(-t^2 / (2 (m + t / 3))),   which is e^-c for t = c / 3 + sqrt(c^2 / 9 + 2 m c).

Example: of 4,096 addresses a sample of 1/64 has at most 111: 64, and 46.9 more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANCE = 1e-6  # that there are more


def most_in_sample(number: NDArray[np.int64], one_in: int) -> NDArray[np.int64]:
    """Of each of `number` things, shape (n,), how many a sample of one in `one_in` has at most; int64."""
    if one_in == 1:
        return number
    mean, c = number / one_in, -np.log(CHANCE)
    most = mean + c / 3 + np.sqrt(c * c / 9 + 2 * mean * c)
    capped: NDArray[np.int64] = np.minimum(number, np.ceil(most).astype(np.int64))
    return capped
