# SPDX-License-Identifier: Apache-2.0
"""The robust slope of a series and its interval: how fast a group grows, and how sure that is.

It is the median of the slopes between all pairs of points; up to a third of the points may be anywhere.
H. Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950);
P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).
Sen's interval assumes independent points.  Objects outstanding at one time are mostly outstanding at the
next, so chance looks like a trend.  The variance is therefore widened by the correlation of the ranks of the
residuals: K. H. Hamed and A. R. Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of
Hydrology 204 (1998).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z = 1.96  # of the normal distribution: an interval of 95 %
AT_ONCE = 1 << 22  # slopes held in memory at a time


class Slope(NamedTuple):
    """Slopes of g series and their 95 % intervals, per unit of time, each of shape (g,)."""

    slope: Floats
    low: Floats
    high: Floats


def theil_sen(time: Floats, series: Floats) -> Slope:
    """The slope of each column of `series`, shape (n, g), over `time`, shape (n,), ascending; n >= 3."""
    groups = series.shape[1]
    pairs = len(time) * (len(time) - 1) // 2
    step = max(AT_ONCE // pairs, 1)
    parts = [_of_some(time, series[:, at : at + step]) for at in range(0, groups, step)]
    if not parts:
        return Slope(*(np.empty(0),) * 3)
    return Slope(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _of_some(time: Floats, series: Floats) -> Slope:
    first, second = np.triu_indices(len(time), 1)
    slopes = (series[second] - series[first]) / (time[second] - time[first])[:, None]
    slopes.sort(axis=0)
    count, columns = len(slopes), np.arange(series.shape[1])
    middle = (slopes[(count - 1) // 2] + slopes[count // 2]) / 2
    reach = Z * np.sqrt(_variance(time, series, middle))
    low = np.clip(np.floor((count - reach) / 2), 0, count - 1).astype(np.intp)
    high = np.clip(np.ceil((count + reach) / 2), 0, count - 1).astype(np.intp)
    return Slope(middle, slopes[low, columns], slopes[high, columns])


def _variance(time: Floats, series: Floats, slope: Floats) -> Floats:
    """Variance of Kendall's score of each column, widened for correlation (Hamed and Rao, eq. 13)."""
    n = len(time)
    independent = n * (n - 1) * (2 * n + 5) / 18
    rest = series - slope * time[:, None]
    ranks = np.argsort(np.argsort(rest, axis=0, kind="stable"), axis=0, kind="stable").astype(np.float64)
    ranks[:, np.ptp(rest, axis=0) < 1e-9] = 0.0  # the residuals of a perfect line do not correlate
    ranks -= ranks.mean(axis=0)
    power = np.maximum((ranks**2).sum(axis=0), 1e-9)
    extra = np.zeros(series.shape[1])
    for lag in range(1, n - 2):
        correlation = (ranks[lag:] * ranks[:-lag]).sum(axis=0) / power
        significant = np.abs(correlation) > Z / np.sqrt(n)
        extra += np.where(significant, (n - lag) * (n - lag - 1) * (n - lag - 2) * correlation, 0.0)
    widening = 1 + 2 / (n * (n - 1) * (n - 2)) * extra
    return independent * np.maximum(widening, 1.0)
