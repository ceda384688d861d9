# SPDX-License-Identifier: Apache-2.0
"""Call sites where only some events have a stack, drawn by lot (record --stacks auto).

Of what a call site allocated in one cache, the objects without a stack cannot be told apart.  If all
stacks drawn there are one, the others are taken for the same.  If they are several, all objects of the
call site are one group, whose numbers are exact; the stack shown with it is the one that most of its
outstanding objects have, of those that have any, and it says how many these are.
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
    """The stack to group each site by, shape (s,): its own, or where its call site was sampled, the only
    one drawn there, or STACK_NOT_TAKEN where several were.

    `cache`: of each site, shape (s,).
    """
    stack_id = sites["stack_id"]
    alloc = np.flatnonzero(~sites.free)
    if not (stack_id[alloc] == STACK_NOT_TAKEN).any():
        return stack_id
    frame = pd.DataFrame({"cache": cache, "call_site": sites["call_site"], "stack_id": stack_id}).loc[alloc]
    place = frame.groupby(["cache", "call_site"])["stack_id"]
    sampled = place.transform("min") == STACK_NOT_TAKEN
    own = frame["stack_id"].where(frame["stack_id"] >= 0)
    drawn = own.groupby([frame["cache"], frame["call_site"]])
    low, high = drawn.transform("min"), drawn.transform("max")
    only = low.where(low == high, STACK_NOT_TAKEN).fillna(STACK_NOT_TAKEN).astype(np.int32)
    shared = stack_id.copy()
    shared[alloc] = frame["stack_id"].where(~sampled, only).to_numpy(np.int32)
    return shared


@dataclass
class ShownStacks:
    """Of g groups: the stack to show (`stack_id`), how many outstanding objects have that one
    (`stack_of`), how many have any (`stacked`), and how many stacks there are (`stacks`); shape (g,).
    """

    stack_id: NDArray[np.int32]
    stack_of: Counts
    stacked: Counts
    stacks: Counts


def shown_stacks(sites: Sites, held: Counts, of_site: Positions, stack_id: NDArray[np.int32]) -> ShownStacks:
    """What to show of groups whose sites are `of_site` (-1: of none) and whose stacks `stack_id`.

    `held`: outstanding objects by site.
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
    """`numbers` (one per column, shape (c,)) shared out in proportion to `weights` (rows, c), as whole
    numbers that add up to them: shape (rows, c).  By the largest remainders; evenly where all weigh 0.
    """
    total = weights.sum(axis=0)
    parts = np.where(total > 0, weights / np.maximum(total, 1), 1 / len(weights)) * numbers
    whole = np.floor(parts).astype(np.int64)
    left = numbers - whole.sum(axis=0)
    rank = np.argsort(np.argsort(whole - parts, axis=0, kind="stable"), axis=0, kind="stable")
    whole += rank < left
    return whole
