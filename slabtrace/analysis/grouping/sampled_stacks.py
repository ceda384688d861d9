# SPDX-License-Identifier: Apache-2.0
"""Call sites of which only some events have a stack, chosen at random (record --stacks auto).

The objects of such a call site in one cache that have no stack cannot be distinguished.  If all its sampled
stacks are the same, the others are taken to have that stack too.  If they differ, all objects of the call
site are one group.  The numbers of that group are exact.  Its stack is the one that most of its outstanding
objects have, among those that have one, and the group says how many these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.schema import STACK_NOT_TAKEN


def shared_stacks(sites: Sites, cache: Positions) -> NDArray[np.int32]:
    """The stack to group each site by, shape (s,).

    It is the site's own stack.  Where the stacks of its call site were sampled, it is the only one of the
    call site, or STACK_NOT_TAKEN if there are several.  `cache`: of each site, shape (s,).
    """
    stack_id = sites["stack_id"]
    alloc = np.flatnonzero(~sites.free)
    if not (stack_id[alloc] == STACK_NOT_TAKEN).any():
        return stack_id
    frame = pd.DataFrame({"cache": cache, "call_site": sites["call_site"], "stack_id": stack_id}).loc[alloc]
    place = frame.groupby(["cache", "call_site"])["stack_id"]
    sampled = place.transform("min") == STACK_NOT_TAKEN
    taken = frame["stack_id"].where(frame["stack_id"] >= 0).groupby([frame["cache"], frame["call_site"]])
    low, high = taken.transform("min"), taken.transform("max")
    only = low.where(low == high, STACK_NOT_TAKEN).fillna(STACK_NOT_TAKEN).astype(np.int32)
    shared = stack_id.copy()
    shared[alloc] = frame["stack_id"].where(~sampled, only).to_numpy(np.int32)
    return shared


@dataclass
class ShownStacks:
    """The stacks to show of g groups, arrays of shape (g,).

    `stack_id`: the stack.  `stack_of`: outstanding objects that have it; `stacked`: those that have any;
    `stacks`: how many different stacks the group has.
    """

    stack_id: NDArray[np.int32]
    stack_of: Counts
    stacked: Counts
    stacks: Counts


def shown_stacks(sites: Sites, held: Counts, of_site: Positions, stack_id: NDArray[np.int32]) -> ShownStacks:
    """The stacks to show of groups.

    `held`: outstanding objects by site, shape (s,); `of_site`: the group of each site, -1 for none, shape
    (s,); `stack_id`: of each group as grouped, shape (g,).
    """
    number = len(stack_id)
    mine = np.flatnonzero((of_site >= 0) & (sites["stack_id"] >= 0))
    frame = pd.DataFrame({"group": of_site[mine], "stack_id": sites["stack_id"][mine], "held": held[mine]})
    by_stack = frame.groupby(["group", "stack_id"])[["held"]].sum().reset_index()
    best = by_stack.sort_values(["held", "stack_id"], ascending=[False, True], kind="stable")
    best = best.drop_duplicates("group")
    several = best[stack_id[best["group"].to_numpy(np.intp)] == STACK_NOT_TAKEN]
    shown = stack_id.copy()
    shown[several["group"].to_numpy(np.intp)] = several["stack_id"].to_numpy(np.int32)
    stack_of = np.zeros(number, np.int64)
    stack_of[best["group"].to_numpy(np.intp)] = best["held"].to_numpy(np.int64)
    groups = by_stack["group"].to_numpy(np.intp)
    stacked = np.bincount(groups, by_stack["held"].to_numpy(np.float64), number).astype(np.int64)
    return ShownStacks(shown, stack_of, stacked, np.bincount(groups, minlength=number))


def spread(numbers: Counts, weights: Counts) -> Counts:
    """Divide `numbers`, shape (c,), in proportion to the columns of `weights`, shape (rows, c).

    Returns whole numbers that add up to `numbers`, shape (rows, c), by the largest remainders.  A column
    whose weights are all 0 is divided evenly.
    """
    total = weights.sum(axis=0)
    parts = np.where(total > 0, weights / np.maximum(total, 1), 1 / len(weights)) * numbers
    whole = np.floor(parts).astype(np.int64)
    left = numbers - whole.sum(axis=0)
    rank = np.argsort(np.argsort(whole - parts, axis=0, kind="stable"), axis=0, kind="stable")
    whole += rank < left
    return whole
