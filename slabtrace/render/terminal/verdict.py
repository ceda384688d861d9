# SPDX-License-Identifier: Apache-2.0
"""How complete a trace is, and how sure a group of outstanding objects: the sentences about both."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.analysis.trust.foreign_words import foreign_summary
from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import count, plural, unknown

if TYPE_CHECKING:
    from slabtrace.analysis.trust.completeness import Completeness


def write_verdict(
    out: TextIO, path: str, completeness: Completeness, damage: Sequence[str], label: str = ""
) -> None:
    """Write, after an empty line, the first damage to the trace's files and a short verdict.

    `path`: the trace's, to name the command that says more; `label`: what the line begins with.
    """
    more = f" (and {plural(len(damage) - 1, 'more problem')})" if len(damage) > 1 else ""
    _write_damage(out, [f"{sentence}{more}" for sentence in damage[:1]])
    write_paragraph(out, f"{label}{short_verdict(completeness, path)}")


def write_full_verdict(out: TextIO, path: str, completeness: Completeness, damage: Sequence[str]) -> None:
    """The same with all damage and the whole verdict.  `path` is not needed."""
    _write_damage(out, damage)
    write_paragraph(out, completeness.verdict)


def short_verdict(completeness: Completeness, path: str) -> str:
    """As "Not complete: 12 events lost, 92 frees inferred; see `slabtrace info boot.slab`".

    What a filter or a sample reduced the recording to is named with it: "Complete for --pid 12: …".
    """
    if completeness.tool:
        return f"{foreign_summary(completeness)}; see `slabtrace info {shlex.quote(path)}`"
    missing = [
        (completeness.lost, plural(completeness.lost, "event") + " lost"),
        (
            completeness.missed_frees_inferred,
            plural(completeness.missed_frees_inferred, "free") + " inferred",
        ),
        (
            completeness.cgroups_unjudged,
            plural(completeness.cgroups_unjudged, "cgroup") + " that --cgroup could not judge",
        ),
        (len(completeness.unattached), plural(len(completeness.unattached), "untraced path")),
        (completeness.damaged, "files damaged or unfinished"),
    ]
    reduced = list(completeness.filters)
    if completeness.sampled_one_in > 1:
        reduced.append(f"a sample of 1/{completeness.sampled_one_in}")
    modes = [
        (bool(reduced) and not completeness.exact, f"recorded only {', '.join(reduced)}"),
        (bool(completeness.counted), "survivors mode"),
    ]
    said = [words for holds, words in (*missing, *modes) if holds]
    if completeness.exact and reduced:
        said.insert(0, "other events were not recorded")
    elif not said:
        return "Complete: every allocation and free was recorded."
    complete = f"Complete for {', '.join(reduced)}" if reduced else "Complete"
    head = complete if completeness.exact else "Not complete"
    return f"{head}: {', '.join(said)}; see `slabtrace info {shlex.quote(path)}`"


def claim(group: Mapping[Any, Any], completeness: Completeness) -> str:
    """How sure it is that the objects of a group (a row of Trace.leaks()) were not freed.

    As "all 23 confirmed in use at the end"; see "confirmed, upper bound, unverified" in docs/glossary.md.
    """
    number, in_use, maybe = int(group["outstanding"]), int(group["in_use"]), group["maybe_freed"]
    seen = f"; {count(in_use)} of {count(number)} confirmed in use at the end" if in_use else ""
    if group["confidence"] == "unprovable":
        return f"unverified: {_why_unverified(completeness)}{seen}"
    if not unknown(maybe) and maybe:
        if in_use and maybe == number - in_use:
            rest = f"the other {count(maybe)}" if maybe > 1 else "the other one"
            used = f"{count(in_use)} of {count(number)} confirmed in use at the end"
            return f"{used}; {rest} may have been freed without being seen"
        most = "all" if maybe >= number else count(maybe)
        return f"upper bound: {most} of these may have been freed without being seen{seen}"
    if in_use == number:
        return (
            "confirmed in use at the end"
            if number == 1
            else f"all {count(number)} confirmed in use at the end"
        )
    return f"confirmed: no free of these can have been missed{seen}"


def _why_unverified(completeness: Completeness) -> str:
    if completeness.damaged:
        return "files of the trace are damaged or unfinished"
    if completeness.tool:
        return f"{completeness.tool} does not record bulk frees and kfree_rcu"
    if completeness.unattached:
        return "some free paths cannot be traced on this kernel"
    return "more frees were missed than events were lost"


def _write_damage(out: TextIO, damage: Sequence[str]) -> None:
    out.write("\n")
    for sentence in damage:
        write_paragraph(out, f"damaged: {sentence}")
