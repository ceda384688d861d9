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

_COMBINED = {  # include/linux/gfp_types.h; the largest first
    0x100CCA: "GFP_HIGHUSER_MOVABLE", 0x100CC2: "GFP_HIGHUSER", 0x100CC0: "GFP_USER", 0xCC0: "GFP_KERNEL",
    0xC40: "GFP_NOFS", 0xC00: "GFP_NOIO", 0x820: "GFP_ATOMIC", 0x800: "GFP_NOWAIT",
}  # fmt: skip
_SINGLE = (
    "DMA", "HIGHMEM", "DMA32", "MOVABLE", "RECLAIMABLE", "HIGH", "IO", "FS", "ZERO", "", "DIRECT_RECLAIM",
    "KSWAPD_RECLAIM", "WRITE", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "MEMALLOC", "COMP",
    "NOMEMALLOC", "HARDWALL", "THISNODE", "ACCOUNT", "ZEROTAGS",
)  # fmt: skip


def gfp_name(flags: int) -> str:
    """Flags as the kernel's source writes them, such as "GFP_KERNEL|__GFP_ZERO"; in hex what has no name."""
    base = next((bits for bits in _COMBINED if flags & bits == bits), 0)
    rest = flags & ~base
    found = [_COMBINED[base]] if base else []
    found += [f"__GFP_{name}" for bit, name in enumerate(_SINGLE) if name and rest >> bit & 1]
    unknown = rest & ~sum(1 << bit for bit, name in enumerate(_SINGLE) if name)
    return "|".join([*found, *([f"{unknown:#x}"] if unknown else [])]) or "0"


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
