# SPDX-License-Identifier: Apache-2.0
"""The context that allocations at each site ran in (names/context.py), as text: "softirq NET_RX".

Where the stacks of a call site are sampled, its other objects have the context that all its known stacks
have in common; if they have none in common, it is not known ("").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.names.context import agreed, context_of
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.schema import STACK_NOT_TAKEN


def contexts(sites: Sites, cache: Positions, stacks: Stacks, held: Counts) -> NDArray[np.object_]:
    """The context of each site with outstanding objects (`held`), shape (s,); "" for others and unknown ones.

    `cache`: of each site, shape (s,).
    """
    found = np.full(len(sites), "", object)
    known: dict[int, str] = {-1: ""}
    for site in np.flatnonzero((held > 0) & (sites["stack_id"] >= 0)).tolist():
        found[site] = _context(int(sites["stack_id"][site]), stacks, known)
    untaken = np.flatnonzero((held > 0) & ~sites.free & (sites["stack_id"] == STACK_NOT_TAKEN))
    if len(untaken):
        shared = _shared(sites, cache, untaken, stacks, known)
        found[untaken] = [shared[cache[at], sites["call_site"][at]] for at in untaken.tolist()]
    return found


def every_context(kept: Kept, stacks: Stacks) -> NDArray[np.object_]:
    """The context of each allocation site, with outstanding objects or not, shape (s,)."""
    return contexts(kept.sites, kept.caches.of_site, stacks, (~kept.sites.free).astype(np.int64))


def of_groups(of_site: Positions, context: NDArray[np.object_], held: Counts, groups: int) -> list[str]:
    """What the contexts of each group's outstanding objects have in common, shape (groups,)."""
    different: list[set[str]] = [set() for _ in range(groups)]
    some = np.flatnonzero((of_site >= 0) & (held > 0))
    for group, each in zip(of_site[some].tolist(), context[some].tolist(), strict=True):
        different[group].add(each)
    return [agreed(each) if each else "" for each in different]


def _shared(
    sites: Sites, cache: Positions, untaken: Positions, stacks: Stacks, known: dict[int, str]
) -> dict[tuple[int, int], str]:
    """What all stacks of a call site in one cache have in common, for those with sites that are `untaken`."""
    wanted = {(cache[at], sites["call_site"][at]): set[str]() for at in untaken.tolist()}
    place = np.isin(sites["call_site"], sites["call_site"][untaken]) & ~sites.free & (sites["stack_id"] >= 0)
    for at in np.flatnonzero(place).tolist():
        key = cache[at], sites["call_site"][at]
        if key in wanted:
            wanted[key].add(_context(int(sites["stack_id"][at]), stacks, known))
    return {key: agreed(each) if each else "" for key, each in wanted.items()}


def _context(stack_id: int, stacks: Stacks, known: dict[int, str]) -> str:
    if stack_id not in known:
        known[stack_id] = str(context_of(stacks.names(stack_id)))
    return known[stack_id]
