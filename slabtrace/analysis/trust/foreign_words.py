# SPDX-License-Identifier: Apache-2.0
"""How complete a recording of another tool is, in words: at best as complete as kmem tracepoints are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slabtrace.analysis.trust.foreign import known_losses
from slabtrace.trace.format.foreign import NO_LOSSES, UNKNOWN_LOSSES, Foreign
from slabtrace.units import count, plural

if TYPE_CHECKING:
    from slabtrace.analysis.trust.completeness import Completeness

CEILING = "kmem tracepoints do not report bulk allocations and frees, kfree_rcu, or slabs that are given back"


def foreign_verdict(foreign: Foreign, completeness: Completeness) -> str:
    """The verdict on an imported trace."""
    gone = [*_gone(foreign), *(["files of the trace are damaged"] if completeness.damaged else [])]
    if gone:
        head = f"Not complete: {'; '.join(gone)}. And {CEILING}."
    elif foreign.losses == UNKNOWN_LOSSES:
        head = f"Completeness not known: {foreign.tool} may have lost events without a sign. {_big(CEILING)}."
    else:
        head = f"As complete as tracepoints are: {foreign.tool} reports no lost event. But {CEILING}."
    return " ".join([head, *_evidence(completeness)])


def foreign_summary(completeness: Completeness) -> str:
    """The same in a few words, for the end of other tables."""
    states = {
        NO_LOSSES: "none lost",
        UNKNOWN_LOSSES: "losses not known",
    }
    parts = [states.get(completeness.losses, "events lost or missing")]
    if completeness.missed_frees_inferred:
        parts.append(f"{plural(completeness.missed_frees_inferred, 'unseen free')} proved")
    if completeness.no_leak_list:
        parts.append("no list of leaks")
    if completeness.damaged:
        parts.append("files damaged")
    return f"A recording of {completeness.tool}, never exact: {', '.join(parts)}"


def _gone(foreign: Foreign) -> list[str]:
    """What is missing for certain."""
    found = [known_losses(foreign)] if known_losses(foreign) else []
    missing = len(foreign.cpus_missing)
    if missing:
        found.append(f"{count(missing)} of {count(foreign.cpus)} CPUs are missing")
    if foreign.rejected:
        found.append(f"{plural(foreign.rejected, 'line')} could not be read")
    return found


def _evidence(completeness: Completeness) -> list[str]:
    """What the events themselves prove."""
    found = []
    inferred = completeness.missed_frees_inferred
    if inferred:
        share = 100 * inferred / max(completeness.allocs, 1)
        found.append(
            f"{plural(inferred, 'unseen free')} {'is' if inferred == 1 else 'are'} proved: an address was "
            f"allocated again ({share:.0f} % of the allocations)."
        )
    if completeness.unmatched_frees:
        found.append(
            f"{plural(completeness.unmatched_frees, 'free')} of unknown objects: older than the recording, "
            "or allocated without being seen."
        )
    return found


def _big(text: str) -> str:
    return text[:1].upper() + text[1:]
