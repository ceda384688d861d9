# SPDX-License-Identifier: Apache-2.0
"""Findings divided by task, where each task frees what it allocated.

Such are open files and sockets.  Then what other processes close is no sign that the objects of one are
replaced, and a service that leaks is distinguished from those beside it.  That a group is such is
known from the old objects that were freed while recording.

Example: a service leaks 60 sockets; another one closes 61 that are older than the recording, and holds
18.  Of 116 old sockets that were freed, 116 were freed by the task that had opened them.  Two findings:
60, of which none went, and 18.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.leaks.evidence import LEAST_KEPT
from slabtrace.analysis.leaks.owners import Owned
from slabtrace.analysis.pairing.paired import Positions

OWN_SHARE = 0.9  # of the old objects that were freed, the task that had allocated them freed so many
ANY = -1
NOBODY = np.int64(0xFFFFFFFF)  # no task has this number


class Divided(NamedTuple):
    """`found`: the findings; `task`, shape (f,): the task that each is of, ANY for several."""

    found: Owned
    task: Counts


def personal(ages: Ages, group_of_site: Positions, groups: int) -> NDArray[np.bool_]:
    """Whether the objects of each group are freed by the task that allocated them, shape (groups,)."""
    if not len(ages.horizons_ns):
        return np.zeros(groups, np.bool_)
    died, own = (by_group(group_of_site, each, groups) for each in (ages.died[:, 0], ages.own_freed))
    return (died >= LEAST_KEPT) & (own >= OWN_SHARE * died)


def divided(
    found: Owned, tid: NDArray[np.uint32], is_owner: NDArray[np.bool_], of_tasks: NDArray[np.bool_]
) -> Divided:
    """`found`, with a finding for each task that has LEAST_KEPT owners of one in a group that is `of_tasks`.

    `tid`, `is_owner`: of each live object, shape (n,); `of_tasks`, shape (g,): see `personal`.  What
    hangs on an owner was allocated by the same task, and goes with it.
    """
    key = found.finding.astype(np.int64) << 32 | tid
    pairs, which = np.unique(key, return_inverse=True)
    owners = np.bincount(which[is_owner], minlength=len(pairs))
    alone = (owners >= LEAST_KEPT) & of_tasks[found.owner[pairs >> 32]]
    kept = np.where(alone, pairs, pairs >> 32 << 32 | NOBODY)[which]
    names, finding = np.unique(kept, return_inverse=True)
    before, task = names >> 32, names & NOBODY
    owned = Owned(finding, found.owner[before], found.freeable[before])
    return Divided(owned, np.where(task == NOBODY, ANY, task))
