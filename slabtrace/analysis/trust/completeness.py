# SPDX-License-Identifier: Apache-2.0
"""How much of what happened the trace holds: every counted loss, and one verdict.

Nothing is exact until it is known that no event can have been missed: no loss was counted, no
free had to be inferred, every path that allocates or frees was watched, and no file is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from slabtrace.analysis.counting.recovered import recovered
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.manifest import Manifest

EVENT = ("event was", "events were")
FREE = ("free was", "frees were")
_CONSEQUENCE = {
    "bounded": "At most {lost:,} of the objects called outstanding may have been freed unseen.",
    "unprovable": "Objects called outstanding may have been freed unseen; nothing bounds their number.",
}
_ALL_IN_USE = "All {outstanding:,} objects outstanding were found in use in their slabs at the end."
_SOME_IN_USE = (
    "Of the {outstanding:,} objects outstanding, {in_use:,} were found in use in their slabs at the end; "
    "of the others, any may have been freed unseen."
)
_COUNTED = (
    " Recorded with --mode survivors: what was freed within {:g} s is counted by call site and lifetime, "
    "but not told by task, stack or time, and double frees are not looked for."
)
_SAMPLED = (
    " Sampled: one in {0:,} addresses was recorded, with all that happened there; each object found stands "
    "for {0:,}, within the error given, and what has fewer than three times as many may not show at all."
)
PATH = ("path of allocation or free was", "paths of allocation or free were")


@dataclass
class Completeness:
    """Counts of events; what was lost; whether anything was.

    `allocs` and `frees` leave out events recorded twice (`duplicates`), and the memory's return
    after a kfree_rcu (`rcu_completions`: the kfree_rcu was the free).  `page_ends` of slabs are
    among the `events` alone.  `dropped`: the ring was full or programs nested too deep.
    `recursion_missed`: skipped by the kernel's recursion guard; of these a twin program `recovered`
    some, or all, and `skipped` is the rest, at most.  `missed_frees_inferred`: not seen, but proved by their
    address being allocated again, by the end of their slab (`inferred_by_page_end`), or because
    their slab held the object free when the recording ended (`found_free`).
    `unmatched_frees`: frees whose allocation was not seen; of these `old_frees` had none in the
    whole trace before (the object is older than the recording, or its allocation was missed) and
    `second_frees` followed another free of the address (a double free, or a missed allocation).
    `outstanding`: objects that were allocated while recording, and are not known to be freed; `in_use`:
    those of them that their slabs held in use at the end.
    `counted`: objects that came and went without being told of one by one (record --mode survivors); they
    are among `allocs` and `frees`, not among `events`.
    `sampled_one_in`: N where only one in N addresses was recorded; all counts but `dropped` and what the
    kernel skipped are of these.
    `late`: stored out of order, so perhaps paired wrongly.  `unattached`: paths of allocation or
    free that nothing watched.
    """

    events: int = 0
    allocs: int = 0
    frees: int = 0
    dropped: int = 0
    recursion_missed: int = 0
    recovered: int = 0
    skipped: int = 0
    missed_frees_inferred: int = 0
    inferred_by_page_end: int = 0
    found_free: int = 0
    stacks_lost: int = 0
    failed_allocs: int = 0
    null_frees: int = 0
    unmatched_frees: int = 0
    old_frees: int = 0
    second_frees: int = 0
    duplicates: int = 0
    rcu_completions: int = 0
    page_ends: int = 0
    counted: int = 0
    outstanding: int = 0
    in_use: int = 0
    late: int = 0
    sampled_one_in: int = 1
    unattached: list[str] = field(default_factory=list)
    damaged: bool = False
    exact: bool = True
    verdict: str = ""

    @property
    def lost(self) -> int:
        """Events counted as missing, or as not being where they belong."""
        return self.dropped + self.skipped + self.late

    @property
    def confidence(self) -> str:
        """What holds for the trace as a whole; single findings may claim more (analysis.trust.confidence).

        "exact": no event can have been missed.  "bounded": at most `lost` can.  "unprovable": an
        unwatched path, a damaged file, or a way of missing frees that is not known, may hide any number.
        """
        if self.exact:
            return "exact"
        unknown = self.missed_frees_inferred > self.lost
        return "unprovable" if self.unattached or self.damaged or unknown else "bounded"


def assess(
    summary: Summary, slabs: SlabStates, manifest: Manifest, losses: Losses, damage: Sequence[str]
) -> Completeness:
    """The completeness of a scanned trace."""
    sites, counts = summary.sites, summary.counts
    totals, real = manifest.totals, counts.seen - counts.duplicates - counts.completions
    result = Completeness(
        events=int(counts.seen.sum()) - counts.counted,
        allocs=int(real[~sites.free].sum()),
        frees=int(real[sites.free & ~sites.page_end].sum()) + counts.counted,
        counted=counts.counted,
        dropped=losses.dropped,
        recursion_missed=losses.recursion_missed,
        recovered=sum(recovered(sites, counts, manifest).stored.values()),
        skipped=losses.skipped,
        missed_frees_inferred=int(counts.inferred.sum()),
        inferred_by_page_end=int(counts.page_ended.sum()),
        found_free=int(counts.found_free.sum()),
        stacks_lost=losses.stacks_lost,
        failed_allocs=totals.failed_allocs,
        null_frees=totals.null_frees,
        unmatched_frees=int(counts.old.sum() + counts.second.sum()),
        old_frees=int(counts.old.sum()),
        second_frees=int(counts.second.sum()),
        duplicates=int(counts.duplicates.sum()),
        rcu_completions=int(counts.completions.sum()),
        page_ends=int(counts.seen[sites.page_end].sum()),
        outstanding=summary.live.size,
        in_use=int(slabs.held(summary.live).sum()),
        late=losses.late,
        unattached=[f"{each.path}: {each.reason}" for each in manifest.coverage.unattached],
        damaged=bool(damage),
    )
    result.exact = not (result.lost or result.missed_frees_inferred or result.unattached or result.damaged)
    result.sampled_one_in = manifest.sampled_one_in
    result.verdict = _verdict(result) + _modes(manifest)
    return result


def _modes(manifest: Manifest) -> str:
    """What the recording left out on request."""
    sampled = _SAMPLED.format(manifest.sampled_one_in) if manifest.sampled_one_in > 1 else ""
    return sampled + (_COUNTED.format(manifest.threshold_s) if manifest.survivors else "")


def _verdict(result: Completeness) -> str:
    """One sentence on what the trace can prove."""
    if result.exact:
        return "Complete: every allocation and free was seen, and none was lost."
    missing = [
        (result.dropped, *(f"{w} dropped" for w in EVENT)),
        (result.skipped, *(f"{w} skipped by the kernel's recursion guard" for w in EVENT)),
        (result.late, *(f"{w} stored out of order" for w in EVENT)),
        (result.missed_frees_inferred, *(f"{w} not seen but proved by what came after" for w in FREE)),
        (len(result.unattached), *(f"{w} not watched" for w in PATH)),
    ]
    reasons = [f"{number:,} {one if number == 1 else more}" for number, one, more in missing if number]
    if result.damaged:
        reasons.append("files of the trace are damaged or unfinished")
    consequence = _CONSEQUENCE[result.confidence]
    if result.confidence == "unprovable" and result.in_use and not result.damaged:
        consequence = _ALL_IN_USE if result.in_use == result.outstanding else _SOME_IN_USE
    numbers = {"lost": result.lost, "outstanding": result.outstanding, "in_use": result.in_use}
    return f"Not complete: {'; '.join(reasons)}. {consequence.format_map(numbers)}"
