# SPDX-License-Identifier: Apache-2.0
"""What `slabtrace info` shows of a recording that another tool made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slabtrace.analysis.trust.foreign import collisions, known_losses, refusals
from slabtrace.render.terminal.text import escape
from slabtrace.trace.format.foreign import NO_LOSSES, UNKNOWN_LOSSES, Foreign
from slabtrace.trace.manifest import Manifest
from slabtrace.units import count, plural

if TYPE_CHECKING:
    from slabtrace.analysis.trust.completeness import Completeness

FILES_SHOWN = 5


def foreign_fields(foreign: Foreign | None, completeness: Completeness) -> Iterator[tuple[str, str]]:
    """(name, value) of what is particular to an import, unescaped; nothing if slabtrace recorded it."""
    if foreign is None:
        return
    more = len(foreign.files) - FILES_SHOWN
    files = ", ".join(foreign.files[:FILES_SHOWN]) + (f" and {count(more)} more" if more > 0 else "")
    yield "imported", f"a recording of {foreign.tool}: {files}"
    yield "kinds", ", ".join(f"{count(number)} {name}" for name, number in foreign.kinds.items())
    if foreign.lines:
        yield "lines", _lines(foreign)
    for line in foreign.examples:
        yield "refused", line
    if clashes := collisions(foreign, completeness.outstanding):
        yield "pointers", clashes
    if foreign.named_sites:
        yield "call sites", "known by name; their addresses are made up"
    if foreign.guessed_caches:
        yield "caches", "named by the size of their objects where no event names them"
    yield "tasks", _tasks(foreign)
    yield from _clock(foreign)
    for sign in [*foreign.filters, *foreign.suspected]:
        yield "filter?", sign
    for note in foreign.notes:
        yield "note", note


def _clock(foreign: Foreign) -> Iterator[tuple[str, str]]:
    if foreign.clock:
        yield "clock", foreign.clock
    if foreign.backwards:
        times = "once" if foreign.backwards == 1 else f"{count(foreign.backwards)} times"
        yield "time", f"went back {times}: the order of the file was kept"


def foreign_losses(foreign: Foreign) -> str:
    """What is known of lost events: never 0 where it is not known."""
    if foreign.cpus_missing:
        counted = f"{known_losses(foreign)}; and " if known_losses(foreign) else ""
        return f"{counted}all events of {plural(len(foreign.cpus_missing), 'CPU')}, not counted"
    if foreign.losses == UNKNOWN_LOSSES:
        return "not known: the recording would not show it"
    if foreign.losses == NO_LOSSES:
        return f"nothing, says {foreign.tool}"
    return known_losses(foreign)


def _lines(foreign: Foreign) -> str:
    parts = [count(foreign.lines)]
    if foreign.rejected:
        parts.append(f"{count(foreign.rejected)} of kmem events could not be read")
    if foreign.cut:
        parts.append(f"{plural(foreign.cut, 'kind')} of event cut: sizes are missing")
    return "; ".join(parts)


def _tasks(foreign: Foreign) -> str:
    return {
        "recorded": "as recorded; the process of a thread is known only where the tool recorded it",
        "derived": "derived from sched_switch; not known before a CPU's first one",
    }.get(foreign.tasks, "not known")


def imported(manifest: Manifest, output: str) -> list[str]:
    """What an import ends with: what was read, what was refused, and why there will be no list of leaks."""
    foreign, totals = manifest.foreign or Foreign(), manifest.totals
    lines = [
        f"{output}: {plural(totals.allocs, 'allocation')}, {plural(totals.frees, 'free')} of {foreign.tool}"
    ]
    if foreign.rejected:
        lines.append(f"{plural(foreign.rejected, 'line')} could not be read, such as:")
        lines += [f"  {escape(example)}" for example in foreign.examples]
    lines.append(f"lost events: {foreign_losses(foreign)}")
    return [*lines, *refusals(manifest)]
