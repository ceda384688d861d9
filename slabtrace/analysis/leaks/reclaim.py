# SPDX-License-Identifier: Apache-2.0
"""Which objects the kernel can give up when memory is short, by what is true of them at the end.

The flag SLAB_RECLAIM_ACCOUNT of a cache says how its memory is accounted, not that an object can go: an
open socket pins its inode and its dentry.  What the recorder read at the end says it (pins.arrow:
reference counts). Of objects without such a count it is known by who allocated them (by_design.py), or
from what they hang on.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions

SHARE = 0.9  # of a group's objects whose state is known


class Held(IntEnum):
    """What is known of a group's objects."""

    UNKNOWN = 0
    PINNED = 1  # somebody refers to them
    UNPINNED = 2  # the kernel can give nearly all of them up


def held(pinned: NDArray[np.int8], member: Positions, groups: int) -> NDArray[np.int8]:
    """`Held` of each group, shape (g,).

    `pinned`, `member`: of each live object, shape (n,): 1 pinned, 0 not, -1 not known; and its group.
    """
    known = np.flatnonzero(pinned >= 0)
    number = np.bincount(member[known], minlength=groups)
    loose = np.bincount(member[known], pinned[known] == 0, minlength=groups)
    state = np.where(loose >= SHARE * number, Held.UNPINNED, Held.PINNED)
    return np.where(number > 0, state, Held.UNKNOWN).astype(np.int8)


def of_findings(state: NDArray[np.int8], finding: Positions) -> NDArray[np.int8]:
    """`Held` of each finding, from the states of its groups: one that is known says it for all.

    `finding`: of each group, shape (g,).  Pinned wins: an object that hangs on a pinned one stays.
    """
    found = np.zeros(int(finding.max(initial=-1)) + 1, np.int8)
    for wanted in (Held.UNPINNED, Held.PINNED):
        found[finding[state == wanted]] = wanted
    return found
