# SPDX-License-Identifier: Apache-2.0
"""What an imported trace says of itself: which events it can have, what is missing, and what is doubtful."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from slabtrace.importing.records import KINDS, Facts
from slabtrace.trace.format.foreign import (
    ADDRESSES,
    HASHED,
    KNOWN_LOSSES,
    NO_LOSSES,
    NOT_KNOWN,
    UNKNOWN_LOSSES,
    Foreign,
)
from slabtrace.trace.format.schema import FREE_BIT
from slabtrace.trace.manifest import Coverage, Unattached

FEW = 5  # allocations: of fewer the same size or task says nothing
# Paths without a kmem tracepoint, by the names that capture gives them.  Slabs are also given back, and their
# states read, only by slabtrace's own programs.
SILENT = (
    "kmem_cache_alloc_bulk", "kmem_cache_free_bulk", "kvfree_call_rcu", "kmalloc_nolock", "kfree_nolock",
    "slab ends", "slab states",
)  # fmt: skip


def coverage(tool: str, kinds: Mapping[str, int], facts: Facts, free_traced_after: bool) -> Coverage:
    """The tracepoints that were recorded, and what such a recording never holds."""
    recorded = sorted(kinds) if facts.enabled is None else [each for each in facts.enabled if each in KINDS]
    silent = [Unattached(path, f"not in a recording of {tool}") for path in SILENT]
    merged = {each.removesuffix("_node") for each in recorded}
    other = [
        Unattached(each, "no such event is in the recording")
        for each in ("kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free")
        if each not in merged
    ]
    return Coverage(attached=recorded, unattached=[*silent, *other], free_traced_after=free_traced_after)


def losses(facts: Facts) -> tuple[str, int, int]:
    """("none", "known" or "unknown"; events known to be lost; gaps of unknown size).

    Where whole CPUs are missing something is known to be lost, though nobody counted it.
    """
    lost = sum(each.events for each in facts.lost)
    gaps = sum(each.events == 0 for each in facts.lost)
    if facts.lost or overwritten(facts) or absent(facts) or missing_cpus(facts):
        return KNOWN_LOSSES, lost, gaps
    complete = facts.entries is not None and facts.rejected == 0
    return NO_LOSSES if facts.losses_told or complete else UNKNOWN_LOSSES, 0, 0


def absent(facts: Facts) -> int:
    """Events that the header counts and the text does not have: it is an excerpt."""
    return max(facts.entries[0] - facts.events, 0) if facts.entries is not None else 0


def overwritten(facts: Facts) -> int:
    """The oldest events, which the header counts as written, and which were no longer in the buffer."""
    return max(facts.entries[1] - facts.entries[0], 0) if facts.entries is not None else 0


def missing_cpus(facts: Facts) -> list[int]:
    """CPUs that were left out on request, or have no event at all, though nothing says that they had none.

    A whole `trace` says so by its header; of an excerpt nothing can be said; perf reads every CPU's buffer,
    and says what it lost.
    """
    if facts.cpus_asked is not None:
        return sorted(set(range(facts.cpus_declared)) - facts.cpus_asked)
    if facts.losses_told and facts.tool == "perf":
        return []
    excerpt = facts.tool == "LTTng" and not facts.losses_told
    if not facts.cpus or facts.entries is not None or excerpt:
        return []
    return sorted(set(range(facts.cpus_declared)) - facts.cpus - facts.cpus_empty)


def pointers(facts: Facts) -> str:
    """Whether pointers are addresses or hashes of them."""
    if facts.hashed > facts.real:
        return HASHED
    return ADDRESSES if facts.real else NOT_KNOWN


def suspected(single: Mapping[str, Collection[object]], allocs: int) -> list[str]:
    """Signs of a filter: one size, one task, or one name of tasks, in all events."""
    if allocs < FEW:
        return []
    found = [f"all allocations have {name} {next(iter(values))}" for name, values in single.items()
             if name.startswith("bytes") and len(values) == 1]  # fmt: skip
    if len(single["tid"]) == 1 and (tid := next(iter(single["tid"]))):
        found.append(f"all events are of task {tid}")
    elif len(single["comm"]) == 1 and (comm := next(iter(single["comm"]))):
        found.append(f"all events are of tasks called {comm}")
    return found


def foreign(facts: Facts, kinds: Mapping[str, int], files: list[str]) -> Foreign:
    """All this, for the manifest; what only the maker knows is still missing."""
    state, lost, gaps = losses(facts)
    return Foreign(
        tool=facts.tool,
        files=files,
        losses=state,
        lost=lost,
        gaps=gaps,
        overwritten=overwritten(facts),
        absent=absent(facts),
        lines=facts.lines,
        rejected=facts.rejected,
        examples=facts.examples,
        cut=facts.cut,
        kinds=dict(sorted(kinds.items())),
        enabled=facts.enabled,
        filters=facts.filters,
        cpus=facts.cpus_declared,
        cpus_missing=missing_cpus(facts),
        sampled=facts.sampled,
        pointers=pointers(facts),
        clock=facts.clock,
        notes=facts.notes,
    )


def frees(kinds: Mapping[str, int]) -> int:
    """How many frees there are among events by tracepoint."""
    return sum(count for name, count in kinds.items() if KINDS[name] & FREE_BIT)
