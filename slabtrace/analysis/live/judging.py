# SPDX-License-Identifier: Apache-2.0
"""What is outstanding so far, judged as `slabtrace leaks` judges a recording.

Less is known than after a recording: nobody asked the slabs which objects are in use, and who pins dentries
and inodes.  So where some free paths cannot be traced, a leak is at most "growing", with that doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.recovered import PROGRAMS, Recovered
from slabtrace.analysis.counting.summary import Lookup, Objects
from slabtrace.analysis.grouping.groups import group_sites, modules
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.doubts import Holders, KernelCount, Known
from slabtrace.analysis.leaks.judgement import freed_inside_by, judged
from slabtrace.analysis.leaks.of_groups import gravest
from slabtrace.analysis.leaks.table import findings_table
from slabtrace.analysis.leaks.verdict import Verdict, verdict
from slabtrace.analysis.live.gathered import Gathered
from slabtrace.analysis.live.tables import LiveTables
from slabtrace.analysis.names.cache_names import Caches, name_caches
from slabtrace.analysis.names.sites import COLUMNS, Sites
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.pins import UNKNOWN
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.tables.outstanding import outstanding
from slabtrace.analysis.trust.account import Account, parked
from slabtrace.analysis.trust.confidence import Missed, Proof, prove
from slabtrace.analysis.trust.filters import BY_ALLOCATION, filtered
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import SLABS
from slabtrace.trace.manifest import Manifest

SETTLED_NS = 1_000_000_000  # events reach the live view within half a second, if it is not overloaded
OWN = "slabtrace itself"
NO_FINDING = np.iinfo(np.int64).max


@dataclass
class LiveJudgement:
    """The judgement at a moment.

    `length_ns`: the time that was judged.  `findings`: columns.FINDINGS but groups, ranked.  `rank`, shape
    (s,): of the gravest finding of each site, 0 for none.  `processes`: one row for each `site`, `pid` and
    `comm` with outstanding `objects`.
    """

    length_ns: int
    verdict: Verdict
    findings: pd.DataFrame
    rank: Positions
    processes: pd.DataFrame
    recorder_pid: int

    def of_rows(self, row_of_site: Positions, rows: int) -> dict[str, list[Any]]:
        """Columns of a table of so many rows: the rank of the gravest finding, its class, who allocated.

        `row_of_site`: -1 for none, shape (s or more,).  own: whether all objects are the recorder's; the
        class of a finding that others have objects of, too, is not that of such a row.  The recorder is named
        OWN among others.
        """
        row = row_of_site[: len(self.rank)]
        some = (row >= 0) & (self.rank > 0)
        least = np.full(rows, NO_FINDING)
        np.minimum.at(least, row[some], self.rank[some])
        finding = np.where(least == NO_FINDING, 0, least).tolist()
        classes = ["", *self.findings["class"].tolist()]
        comms, pids = self._tasks(row, rows)
        own = [ids == [self.recorder_pid] and self.recorder_pid != 0 for ids in pids]
        others = [False, *(not each for each in self.findings["own"].tolist())]
        said = [
            "" if mine and others[each] else classes[each] for each, mine in zip(finding, own, strict=True)
        ]
        return {"finding": finding, "class": said, "comms": comms, "pids": pids, "own": own}

    def _tasks(self, row: Positions, rows: int) -> tuple[list[list[str]], list[list[int]]]:
        """(comms, pids) of each row, those with most objects first."""
        held = self.processes.assign(row=row[self.processes["site"].to_numpy(np.intp)])
        summed = held[held["row"] >= 0].groupby(["row", "pid", "comm"])["objects"].sum().reset_index()
        comms: list[dict[str, None]] = [{} for _ in range(rows)]
        pids: list[dict[int, None]] = [{} for _ in range(rows)]
        ordered = summed.iloc[np.argsort(-summed["objects"].to_numpy(), kind="stable")]
        for at, pid, comm in zip(*(ordered[name].tolist() for name in ("row", "pid", "comm")), strict=True):
            pids[at].setdefault(pid)
            name = OWN if pid == self.recorder_pid else comm
            if name:
                comms[at].setdefault(name)
        return [list(each) for each in comms], [list(each) for each in pids]


def unjudged(rows: int) -> dict[str, list[Any]]:
    """What LiveJudgement.of_rows says before the first judgement."""
    columns: dict[str, list[Any]] = {"finding": [0] * rows, "class": [""] * rows, "own": [False] * rows}
    return columns | {"comms": [[] for _ in range(rows)], "pids": [[] for _ in range(rows)]}


@dataclass
class SoFar:
    """All that a judgement needs, as of one moment: later events change nothing in it."""

    manifest: Manifest
    kept: Kept
    lookup: Lookup
    known: Known

    @classmethod
    def of(
        cls, manifest: Manifest, tables: LiveTables, gathered: Gathered, live: EventBatch, now_ns: int
    ) -> SoFar:
        """Copied from what changes.  `live`: the live objects, with all events paired; `now_ns`: the time."""
        lookup = tables.lookup(manifest, live)
        sites, copy = gathered.sites, Sites()
        copy.extend({name: sites[name] for name in COLUMNS})
        copy.unify_stacks(*lookup.stacks.repeated())
        caches = name_caches(tables.caches(), copy, [])
        newest = int(live.ts_ns.max()) if live.size else 0
        ages = gathered.ages.until(len(sites), manifest.started_ns, max(newest, now_ns - SETTLED_NS))
        first = int(ages.horizons_ns[0]) if len(ages.horizons_ns) else 0
        older = gathered.older.since(ages.begin_ns + first)
        kept = Kept(copy, caches, Objects(gathered.allocated.copy(), live), ages, older)
        return cls(manifest, kept, lookup, _known(manifest, kept, tables, gathered))

    def judged(self) -> LiveJudgement:
        """The judgement."""
        lookup, known = self.lookup, self.known
        inside = freed_inside_by(self.kept, lookup)
        kept = replace(self.kept, older=self.kept.older.without(inside))
        module = modules(kept.sites, lookup.stacks, lookup.symbols)
        groups = group_sites(kept.sites, kept.caches, "stack", module)
        frame = outstanding(kept, lookup, groups, known.proof)
        found = judged(kept, frame, groups, known)
        made = findings_table(kept, frame, groups, lookup, found, known.one_in)
        live = kept.objects.live
        of_site = gravest(live.site.astype(np.intp), found, len(kept.sites))
        return LiveJudgement(
            length_ns=kept.ages.length_ns,
            verdict=verdict(made.findings, found.judged.tests, kept.ages, self.manifest),
            findings=made.findings,
            rank=np.append(made.rank, 0)[of_site],
            processes=_processes(live, lookup),
            recorder_pid=lookup.recorder_pid,
        )


def _known(manifest: Manifest, kept: Kept, tables: LiveTables, gathered: Gathered) -> Known:
    kernel = tables.kernel
    size, per_slab = (
        np.array([getattr(each, name) for each in kernel.values()], np.int64)
        for name in ("objsize", "objperslab")
    )
    slack = parked(manifest.host, size, per_slab).tolist()
    return Known(
        proof=_proof(manifest, kept.caches, tables, gathered),
        pinned=np.full(kept.objects.live.size, UNKNOWN, np.int8),
        holders=Holders(np.zeros(kept.objects.live.size, np.uint32)),
        kernel=KernelCount(
            {name: each.last - each.first for name, each in kernel.items()},
            dict(zip(kernel, slack, strict=True)),
        ),
        older_unseen=filtered(manifest, BY_ALLOCATION),
        length_s=kept.ages.length_ns / 1e9,
        slabs_asked=False,
    )


def _proof(manifest: Manifest, caches: Caches, tables: LiveTables, gathered: Gathered) -> Proof:
    """What bounds the missed frees: the lost events alone.  The kernel's own count is too coarse for it."""
    none: Counts = np.zeros(len(caches), np.int64)
    account = Account(np.zeros(len(caches), np.bool_), none, none, none, none)
    missed = Missed(by_group(caches.of_site, gathered.inferred, len(caches)), none, none)
    losses = Losses(tables.losses(), manifest, _recovered(manifest, gathered))
    return prove(SlabStates(SLABS.empty_table()), account, missed, losses, manifest, False, caches)


def _recovered(manifest: Manifest, gathered: Gathered) -> Recovered:
    """What the twins recovered, at least; so that what is lost is bounded from above."""
    repeated = {
        name: int(gathered.repeated[gathered.sites["kind"] == np.uint8(kind)].sum())
        for kind, name in PROGRAMS.items()
    }
    stored = manifest.totals.recovered - int(gathered.repeated.sum())
    sure = not manifest.coverage.programs_preemptible
    return Recovered(repeated=repeated, total=max(stored, 0) if sure else 0)


def _processes(live: EventBatch, lookup: Lookup) -> pd.DataFrame:
    """Objects by site, pid and comm."""
    tasks = lookup.tasks
    row = tasks.rows(live.tid, live.ts_ns)
    held = pd.DataFrame({"site": live.site.astype(np.int64), "row": row})[row >= 0]
    counted = held.value_counts().rename("objects").reset_index()
    comm = [tasks.comm[at] for at in counted["row"].tolist()]
    pid = tasks.tgid[counted["row"].to_numpy(np.intp)].astype(np.int64)
    return counted.assign(pid=pid, comm=pd.Series(comm, dtype=object))[["site", "pid", "comm", "objects"]]
