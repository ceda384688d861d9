# SPDX-License-Identifier: Apache-2.0
"""Objects allocated while recording and not freed by its end, grouped by who allocated them.

`freed` is the number allocated less the number outstanding, so it includes inferred frees.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import by_group
from slabtrace.analysis.counting.summary import Lookup, Objects
from slabtrace.analysis.grouping import contexts
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.grouping.sampled_stacks import shown_stacks
from slabtrace.analysis.names.objects import alias_of, kind_named
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.tables.freed_by import Rows, freed_by
from slabtrace.analysis.trust.confidence import NO_BOUND, Proof, confidence_of
from slabtrace.columns import OUTSTANDING
from slabtrace.trace.format.batch import EventBatch

COLUMNS = OUTSTANDING.names


class AllocatedBy(NamedTuple):
    """Names of tasks, processes, and how many objects each of these allocated: of each group, most first.

    The first of the names is of the first process, if its tasks have names.
    """

    comms: list[list[str]]
    pids: list[list[int]]
    pid_objects: list[list[int]]


def outstanding(kept_objects: Kept, lookup: Lookup, groups: Groups, proof: Proof) -> pd.DataFrame:
    """One row for each of `groups` with objects outstanding of those asked for: COLUMNS, and group.

    Most bytes first, those of slabtrace itself last.  group: the row of `groups`.
    """
    live, caches = kept_objects.objects.live, kept_objects.caches
    totals = _totals(kept_objects.sites, kept_objects.objects, groups)
    kept = np.flatnonzero(totals["outstanding"])
    member = groups.of_site[live.site]
    frame = pd.DataFrame({name: column[kept] for name, column in totals.items()})
    frame["oldest_ns"], frame["newest_ns"] = ages_of(live.ts_ns - lookup.started_ns, member, kept)
    allocated_by = tasks_of(live, member, kept, lookup.tasks)
    for name, column in allocated_by._asdict().items():
        frame[name] = pd.Series(column, dtype=object)
    frame["own"] = own_of(live, member, kept, lookup)
    frame["cache"] = [caches.names[row] for row in groups.cache[kept].tolist()]
    frame["aliases"] = pd.Series([caches.aliases[row] for row in groups.cache[kept].tolist()], dtype=object)
    objects = lookup.objects_of(kept_objects.sites, caches, kept_objects.objects.held)
    frame["object"] = objects.of_groups(member, live.site, kept)
    frame["alias"] = [
        alias_of(kind_named(each), *names)
        for each, *names in zip(frame["object"], frame["cache"], frame["aliases"], strict=True)
    ]
    whose = kept_objects.whose
    named = whose is not None and whose.by != "process"  # that one has pids
    frame["whose"] = [whose.text(each) if whose and named else "" for each in groups.process[kept].tolist()]
    frame["reclaimable"] = [caches.reclaimable[row] for row in groups.cache[kept].tolist()]
    frame["call_site"], frame["module"] = groups.call_site[kept], groups.module[kept]
    frame["symbol"] = [lookup.symbols.name(each) if each else "" for each in frame["call_site"].tolist()]
    held, stack_id = kept_objects.objects.held, groups.stack_id
    shown = shown_stacks(kept_objects.sites, held, groups.of_site, stack_id)
    frame["stack"] = [lookup.stacks.names(each) for each in shown.stack_id[kept].tolist()]
    for name in ("stack_of", "stacked", "stacks"):
        frame[name] = getattr(shown, name)[kept]
    bounds = proof.bounds(live, member, groups.cache)
    maybe = bounds.maybe_freed[kept]
    frame["confidence"], frame["in_use"] = confidence_of(maybe, bounds.assumed[kept]), bounds.in_use[kept]
    frame["maybe_freed"] = pd.array([None if n == NO_BOUND else n for n in maybe.tolist()], "Int64")
    site_context = contexts.contexts(kept_objects.sites, caches.of_site, lookup.stacks, held)
    of_group = contexts.of_groups(groups.of_site, site_context, held, len(groups))
    frame["context"] = [of_group[each] for each in kept.tolist()]
    unsure = np.where(maybe == NO_BOUND, frame["outstanding"] - frame["in_use"], maybe)
    alike = (shown.stacks[kept] == 1) & (groups.call_site[kept] != 0)
    released = freed_by(kept_objects, lookup, groups, Rows(kept, totals["freed"][kept], unsure, alike))
    for name, column in zip(("freed_by", "others_freed_by"), released, strict=True):
        frame[name] = pd.Series(column, dtype=object)
    frame["group"] = kept
    keys = {"own": True, "bytes_alloc": False, "outstanding": False, "oldest_ns": True}
    frame = frame.sort_values(list(keys), ascending=list(keys.values()), kind="stable")
    return frame[[*COLUMNS, "group"]].reset_index(drop=True)


def _totals(sites: Sites, objects: Objects, groups: Groups) -> dict[str, NDArray[np.int64]]:
    """The counted columns by group, each of shape (g,)."""
    held = objects.held
    by_site = {
        "allocated": objects.allocated,
        "outstanding": held,
        "bytes_req": held * sites["bytes_req"].astype(np.int64),
        "bytes_alloc": held * sites["bytes_alloc"].astype(np.int64),
    }
    totals = {name: by_group(groups.of_site, column, len(groups)) for name, column in by_site.items()}
    totals["freed"] = totals["allocated"] - totals["outstanding"]
    return totals


def ages_of(
    ts_ns: NDArray[np.int64], member: Positions, kept: Positions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(oldest, newest) time of the live objects of each group in `kept`."""
    order = np.lexsort((ts_ns, member))
    ordered = ts_ns[order]
    begin = np.searchsorted(member[order], kept)
    end = np.searchsorted(member[order], kept, side="right")
    return ordered[begin], ordered[end - 1]


def tasks_of(live: EventBatch, member: Positions, kept: Positions, tasks: Tasks) -> AllocatedBy:
    """Who allocated the objects of each group in `kept`."""
    held = pd.DataFrame({"group": member, "row": tasks.rows(live.tid, live.ts_ns)})
    many = held[held["row"] >= 0].value_counts().reset_index()
    named: dict[int, Counter[str]] = {group: Counter() for group in kept.tolist()}
    pids: dict[int, Counter[int]] = {group: Counter() for group in kept.tolist()}
    names_of: dict[tuple[int, int], Counter[str]] = {}
    for group, row, number in zip(*(many[name].tolist() for name in many), strict=True):
        pid, comm = int(tasks.tgid[row]), tasks.comm[row]
        pids[group][pid] += number
        if comm:
            named[group][comm] += number
            names_of.setdefault((group, pid), Counter())[comm] += number
    ranked = {group: each.most_common() for group, each in pids.items()}
    first = {group: names_of.get((group, each[0][0]), Counter()) for group, each in ranked.items() if each}
    return AllocatedBy(
        comms=[_names(named[group], first.get(group, Counter())) for group in named],
        pids=[[pid for pid, _ in each] for each in ranked.values()],
        pid_objects=[[number for _, number in each] for each in ranked.values()],
    )


def _names(every: Counter[str], of_first: Counter[str]) -> list[str]:
    """The names, those with most objects first, but before them the one of the first process."""
    own = [name for name, _ in of_first.most_common(1)]
    return own + [name for name, _ in every.most_common() if name not in own]


def own_of(live: EventBatch, member: Positions, kept: Positions, lookup: Lookup) -> NDArray[np.bool_]:
    """Whether every live object of each group in `kept` is slabtrace's own."""
    return ~np.isin(kept, member[~lookup.own(live)])
