# SPDX-License-Identifier: Apache-2.0
"""Whether some objects are never freed: a plateau of the survival curve beyond an age h.

Beyond h, a share q of the objects is never freed, and the others die at a constant rate (a mixture cure
model: J. Berkson and R. Gage, "Survival curve for cancer patients following treatment", JASA 47, 1952).
Objects that live at the end are censored.  "q = 0, and they die at `least_rate` or faster" is compared with
the best fit by the ratio of the likelihoods (chi-square, one degree of freedom).

Example, times in units of the recording: 22 objects live, on average 0.5 beyond h, and none died.  Dying at a
rate of 2 has the likelihood exp(-2 x 22 x 0.5) = 3e-10, never dying 1.  So p = 3e-11.
"""

from __future__ import annotations

from math import erfc, log, sqrt

import numpy as np
from numpy.typing import NDArray

RATES = np.geomspace(0.05, 256.0, 40)  # deaths per object and recording
SHARES = np.concatenate([np.linspace(0.0, 0.08, 5), np.linspace(0.1, 1.0, 19)])
BINS = 32  # of the ages at which objects are censored


class Beyond:
    """What is known of the objects beyond the age h; times in units of the recording.

    `died`: how many died later than h; `died_time`: the sum of their times beyond h; `alive`: how long
    each of those alive has lived beyond h, shape (n,).
    """

    def __init__(self, died: int, died_time: float, alive: NDArray[np.float64]) -> None:
        self.died, self.died_time, self.alive = died, died_time, alive
        self._best: float | None = None

    def p_all_die(self, least_rate: float) -> float:
        """How well the data agree with: none is kept, all die at `least_rate` or faster (0 to 1)."""
        if not len(self.alive):
            return 1.0
        exposure = max(self.died_time + float(self.alive.sum()), 1e-12)
        rate = max(least_rate, self.died / exposure)
        null = (self.died * log(rate) if self.died else 0.0) - rate * exposure
        return erfc(sqrt(max(self._best_fit() - null, 0.0)))

    def _best_fit(self) -> float:
        """The greatest log likelihood, over SHARES and RATES."""
        if self._best is None:
            counts, edges = np.histogram(self.alive, bins=BINS)
            middle = (edges[1:] + edges[:-1]) / 2
            share, rate = SHARES[:, None], RATES[None, :]
            alive = np.log(share[..., None] + (1 - share[..., None]) * np.exp(-rate[..., None] * middle))
            total = (alive * counts).sum(axis=-1)
            if self.died:
                density = np.log(np.maximum(1 - share, 1e-300)) + np.log(rate)
                total = total + self.died * density - rate * self.died_time
            self._best = float(max(total.max(), 0.0 if not self.died else -np.inf))
        return self._best
