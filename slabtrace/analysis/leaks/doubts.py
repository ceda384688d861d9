# SPDX-License-Identifier: Apache-2.0
"""What speaks against a finding being a leak: then it may be growing, but is never a suspect.

Example: a group gained 60 objects in 60 s, of which none was freed.  By slabinfo its cache gained 12, and
parked objects can make it wrong by 10: less than half of 60.  Something else is freed that the trace does
not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.group_tests import GroupTests
from slabtrace.analysis.trust.confidence import Proof

KERNEL_SHARE = 0.5  # of what a group gained, that the kernel's own count of its cache must show


@dataclass
class Known:
    """What else is known of a recording.

    `proof`: which objects may have been freed unseen.  `pinned`, shape (n,): of each live object, 1 pinned, 0
    not, -1 not known.  `kernel_change`: of the kernel's own count, by name of the cache; `slack`: how far it
    may be wrong.  `older_unseen`: frees of older objects were not recorded (a filter by task or size).
    `one_in`: of so many addresses one was recorded.
    """

    proof: Proof
    pinned: NDArray[np.int8]
    kernel_change: dict[str, int]
    slack: dict[str, int]
    older_unseen: bool = False
    one_in: int = 1


def doubts_of(owners: pd.DataFrame, tests: GroupTests, unknown: NDArray[np.bool_], known: Known) -> list[str]:
    """The doubt about each of f findings, "" where nothing speaks against it.

    `owners`: the rows of their owners (tables.outstanding).  `unknown`, shape (f,): of some objects it is not
    known whether they are pinned.
    """
    each = zip(owners.to_dict("records"), tests.results, tests.in_cache.tolist(), unknown, strict=True)
    return [_doubt(owner, result, grew, bool(whether), known) for owner, result, grew, whether in each]


def _doubt(owner: dict[Any, Any], result: Tested, in_cache: bool, unknown: bool, known: Known) -> str:
    """What speaks against a finding being a leak, "" if nothing does."""
    if not in_cache:
        return "as many older objects of this cache were freed meanwhile, perhaps of this kind"
    if owner["reclaimable"] and unknown:
        return "the kernel may be able to free these when memory is short: the trace does not say"
    claim, cache = (result.kept - result.older) * known.one_in, str(owner["cache"])
    change = known.kernel_change.get(cache)
    if change is not None and change + known.slack.get(cache, 0) < KERNEL_SHARE * claim:
        return "by the kernel's own count this cache did not grow by so much"
    if known.older_unseen and (change is None or change < KERNEL_SHARE * claim):
        return "the filter left out frees of older objects, and the kernel's own count shows no such growth"
    return ""
