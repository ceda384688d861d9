# SPDX-License-Identifier: Apache-2.0
"""What the gfp flags of an allocation mean: whether it may sleep, who is charged, whether it is zeroed.

The bits are those of include/linux/gfp_types.h; they are the same from 5.10 to 6.18.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites

ZERO = np.uint32(0x100)  # __GFP_ZERO
DIRECT_RECLAIM = np.uint32(0x400)  # __GFP_DIRECT_RECLAIM
ACCOUNT = np.uint32(0x400000)  # __GFP_ACCOUNT


def gfp_kinds(sites: Sites) -> dict[str, NDArray[np.bool_]]:
    """Whether the allocations of each site are atomic, accounted, zeroed: three arrays of shape (s,).

    atomic: they may not wait for memory.  accounted: charged to a memory cgroup by __GFP_ACCOUNT (those of a
    cache with SLAB_ACCOUNT are charged too, without the flag).  zeroed: by __GFP_ZERO.
    """
    flags = sites["gfp_flags"]
    return {
        "atomic": (flags & DIRECT_RECLAIM) == 0,
        "accounted": (flags & ACCOUNT) != 0,
        "zeroed": (flags & ZERO) != 0,
    }
