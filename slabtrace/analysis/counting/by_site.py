# SPDX-License-Identifier: Apache-2.0
"""Numbers of objects or bytes, one for each site, and their sums by group of sites."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]


def by_group(group_of_site: NDArray[np.intp], values: Counts, groups: int) -> Counts:
    """Sum `values`, shape (s,), over the sites of each group: shape (groups,).

    Sites of group -1 are left out.  The sums are exact: they are made as integers, where a weighted
    bincount would go through float64.
    """
    total = np.zeros(groups, np.int64)
    member = group_of_site >= 0
    np.add.at(total, group_of_site[member], values[member])
    return total
