# SPDX-License-Identifier: Apache-2.0
"""Whether a cache as a whole grew by what one of its groups is said to have grown by.

The frees of older objects may have been divided wrongly among the groups of a cache (attribution.py).  So
a leak is claimed only where the cache gained at least half as much.  A process that ends may free many
objects at once and hide what leaks beside it.  Therefore the gain may also be the median gain of PARTS
equal parts of the time, times PARTS: what happens in a few parts does not change it.

Example: 64 objects of a group leak in 60 s; in second 20 a process ends and 500 older ones of the cache go.
The cache lost 436 in all.  In seven of eight parts it gained 8: the median says 64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PARTS = 8
LEAST_SHARE = 0.5  # of what a group gained, that its cache gained at least

Times = NDArray[np.float64]


def gained(kept: Times, gone: Times, horizon: float) -> float:
    """How many objects older than `horizon` a cache gained, at best.

    `kept`: when its live objects older than `horizon` were allocated; `gone`: when older objects were freed,
    from `horizon` on.  Times in units of the recording.
    """
    edges = np.linspace(0.0, 1.0 - horizon, PARTS + 1)
    change = np.histogram(kept, edges)[0] - np.histogram(gone - horizon, edges)[0]
    return float(max(change.sum(), PARTS * np.median(change)))


def confirms(cache_gained: float, group_gained: float) -> bool:
    """Whether a cache that gained so much can hold a group that did."""
    return cache_gained >= LEAST_SHARE * group_gained
