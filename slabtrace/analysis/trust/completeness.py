# SPDX-License-Identifier: Apache-2.0
"""How complete a trace is: every counted loss, and one verdict in words.

A trace is exact only if no event of what was asked for can have been missed: no event was lost, no free was
inferred, every path that allocates or frees was traced, and no file is damaged.  A recording that a filter or
a sample reduced can be exact, but is never called complete without naming what it was reduced to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from slabtrace.analysis.counting.recovered import recovered
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.filters import filter_options
from slabtrace.analysis.trust.foreign import refusals
from slabtrace.analysis.trust.foreign_words import foreign_verdict
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.format.foreign import KNOWN_LOSSES
from slabtrace.trace.manifest import Manifest

# Of a number of things: what to say of one, and of several.
DROPPED = ("event was dropped", "events were dropped")
SKIPPED = (
    "event was skipped by the kernel's recursion guard",
    "events were skipped by the kernel's recursion guard",
)
LATE = ("event was stored out of order", "events were stored out of order")
UNJUDGED = (
    "cgroup that was made while recording could not be judged by --cgroup",
    "cgroups that were made while recording could not be judged by --cgroup",
)
MISSED = ("free was missed and inferred", "frees were missed and inferred")
PATHS = ("path that allocates or frees", "paths that allocate or free")
# Silent paths by the names that people know; others are shown by the kernel's name.
CALLED = {
    "kvfree_call_rcu": "kfree_rcu",
    "kfree_call_rcu_nolock": "kfree_rcu_nolock",
    "kmem_cache_free_bulk": "bulk free",
    "kmem_cache_alloc_bulk": "bulk allocation",
}
PROCESS_1 = "process_1"  # capture/programs/silent_paths.py; of no path, and of all objects
_PROCESS_1_HIDDEN = "what process 1 does, and what interrupts it, cannot be traced on this kernel"
_CONSEQUENCE = {
    "bounded": "Upper bound: {lost:,} of the outstanding objects may have been freed without being seen.",
    "unprovable": "Not verified: any of the outstanding objects may have been freed without being seen.",
}
_NO_FREE_LOST = "No free was lost: none of the outstanding objects was freed without being seen."
_COMPLETE = "Complete: every allocation and free was seen, and none was lost."
_COMPLETE_FOR = "Complete for what was asked for: every such allocation and free was seen, and none was lost."
_ALL_IN_USE = "All outstanding objects ({outstanding:,}) are confirmed in use at the end."
_SOME_IN_USE = (
    "Confirmed in use at the end: {in_use:,} of {outstanding:,} outstanding objects. The others are not "
    "verified: they may have been freed without being seen."
)
_FILTERED = " Filtered: recorded with {}. Other allocations and frees are not in the trace."
_COUNTED = (
    " Recorded with --mode survivors: objects freed within {:g} s are only counted, by call site and "
    "lifetime, and double frees are not reported."
)
_SAMPLED = (
    " Sampled: one in {0:,} addresses was recorded, with all its events. Each object stands for {0:,}, "
    "within the error given; a group with fewer than {1:,} objects may be missing entirely."
)


@dataclass
class Completeness:
    """Counts of events, of losses, and what they mean.

    `allocs` and `frees` leave out events recorded twice (`duplicates`), and second reports of a free, as
    after kfree_rcu (`rcu_completions`).  `page_ends` of slabs are only among the `events`.
    `dropped`: the ring was full, or programs nested too deep.  `recursion_missed`: first programs skipped by
    the kernel's recursion guard; twins `recovered` some or all of these events, and `skipped` is the rest, at
    most.  `late`: stored out of order, so perhaps paired wrongly.
    `missed_frees_inferred`: inferred because the address was allocated again, because the slab ended
    (`inferred_by_page_end`), or because the slab lists the object as free at the end (`found_free`).
    `unmatched_frees`: frees whose allocation was not seen.  `old_frees` of them are the first event of their
    address (the object is older than the recording, or its allocation was missed); `second_frees` follow
    another free of the address (a double free, or a missed allocation).
    `outstanding`: objects allocated while recording and not freed by its end; `in_use` of them are confirmed
    in use at the end.
    `counted`: objects allocated and freed that were only counted (record --mode survivors); they are among
    `allocs` and `frees`, but not among `events`.
    `sampled_one_in`: N where only one in N addresses was recorded; then all counts but `dropped` and those of
    skipped programs are of the sample.
    `filters`: the options by which the recording left out events, as they are typed: "--pid 12".
    `cgroups_unjudged`: cgroups made while recording that --cgroup could not judge: what their tasks allocated
    is not recorded.
    `unattached`: silent paths that could not be traced, each with the kernel's reason.
    `lost_frees`: at so many addresses, at most, a free was lost.
    `tool`: what made the recording, if it was not slabtrace; `foreign_lost`: events that it says it lost;
    `losses`: whether losses are "known" (slabtrace counts all of its own), "none", or "unknown": then the
    numbers of lost events say nothing; `uncounted`: gaps and CPUs missing whose events nobody counted.
    `no_leak_list`: why nothing can be said of leaks, in sentences.
    `exact`: no event of what was asked for can have been missed; `filters` and `sampled_one_in` say what that
    was.
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
    lost_frees: int = 0
    sampled_one_in: int = 1
    filters: list[str] = field(default_factory=list)
    cgroups_unjudged: int = 0
    unattached: list[str] = field(default_factory=list)
    damaged: bool = False
    tool: str = ""
    foreign_lost: int = 0
    losses: str = KNOWN_LOSSES
    uncounted: int = 0
    no_leak_list: list[str] = field(default_factory=list)
    exact: bool = True
    verdict: str = ""

    @property
    def lost(self) -> int:
        """Events that are lost, at most, or stored out of order."""
        return self.dropped + self.skipped + self.late + self.foreign_lost

    @property
    def confidence(self) -> str:
        """Of the trace as a whole; single findings may be surer (analysis.trust.confidence).

        "exact": no event can have been missed.  "bounded": at most `lost` events.  "unprovable": any number,
        on a path that could not be traced or is not known, or in a damaged file.
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
        lost_frees=losses.frees,
        cgroups_unjudged=totals.cgroups_unjudged,
        unattached=[f"{each.path}: {each.reason}" for each in manifest.coverage.unattached],
        damaged=bool(damage),
        foreign_lost=losses.foreign,
        no_leak_list=refusals(manifest),
    )
    if manifest.foreign is not None:
        result.tool, result.losses = manifest.foreign.tool, manifest.foreign.losses
        result.uncounted = manifest.foreign.gaps + len(manifest.foreign.cpus_missing)
    unseen = result.lost or result.missed_frees_inferred or result.cgroups_unjudged
    result.exact = not (unseen or result.unattached or result.damaged or manifest.foreign)
    result.sampled_one_in, result.filters = manifest.sampled_one_in, filter_options(manifest)
    said = foreign_verdict(manifest.foreign, result) if manifest.foreign is not None else _verdict(result)
    result.verdict = said + _modes(manifest)
    return result


def _modes(manifest: Manifest) -> str:
    """What the recording left out on request."""
    one_in, filters = manifest.sampled_one_in, " ".join(filter_options(manifest))
    sampled = _SAMPLED.format(one_in, 3 * one_in) if one_in > 1 else ""
    counted = _COUNTED.format(manifest.threshold_s) if manifest.survivors else ""
    return (_FILTERED.format(filters) if filters else "") + sampled + counted


def _verdict(result: Completeness) -> str:
    """What is missing, and what that means for the outstanding objects."""
    if result.exact:
        reduced = result.filters or result.sampled_one_in > 1
        return _COMPLETE_FOR if reduced else _COMPLETE
    missing = [
        _number(result.dropped, DROPPED),
        _number(result.skipped, SKIPPED),
        _number(result.late, LATE),
        _number(result.cgroups_unjudged, UNJUDGED),
        _inferred(result),
        _untraced(result.unattached),
        "files of the trace are damaged or unfinished" if result.damaged else "",
    ]
    doubtful = result.lost or result.confidence == "unprovable"
    consequence = _CONSEQUENCE[result.confidence] if result.outstanding and doubtful else ""
    if result.confidence == "unprovable" and result.in_use and not result.damaged:
        consequence = _ALL_IN_USE if result.in_use == result.outstanding else _SOME_IN_USE
    if result.confidence == "bounded" and consequence and not result.lost_frees:
        consequence = _NO_FREE_LOST
    most = min(result.lost_frees, result.outstanding)
    numbers = {"lost": most, "outstanding": result.outstanding, "in_use": result.in_use}
    return f"Not complete: {'; '.join(filter(None, missing))}. {consequence.format_map(numbers)}".rstrip()


def _number(number: int, words: tuple[str, str]) -> str:
    return f"{number:,} {words[number != 1]}" if number else ""


def _inferred(result: Completeness) -> str:
    """How many frees were inferred, and from what."""
    reused = result.missed_frees_inferred - result.inferred_by_page_end - result.found_free
    signs = {
        "from address reuse": reused,
        "from the end of their slab": result.inferred_by_page_end,
        "from the slab's own list at the end": result.found_free,
    }
    found = {sign: number for sign, number in signs.items() if number}
    said = [sign if len(found) == 1 else f"{number:,} {sign}" for sign, number in found.items()]
    how = said[0] if len(said) == 1 else f"({', '.join(said)})"
    return f"{_number(result.missed_frees_inferred, MISSED)} {how}" if said else ""


def _untraced(unattached: Sequence[str]) -> str:
    """Which paths could not be traced, and what to do about it."""
    if not unattached:
        return ""
    paths = [each.partition(":")[0] for each in unattached]
    named = [CALLED.get(path, path) for path in paths if path != PROCESS_1]
    said = [
        f"{_number(len(named), PATHS)} ({', '.join(named)}) cannot be traced on this kernel, only on one "
        "that lets fentry programs attach (slabtrace info says why)"
    ]
    return "; ".join(said[not named :] + [_PROCESS_1_HIDDEN] * (PROCESS_1 in paths))
