# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace info`: what was recorded, where, how, and what was not seen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from slabtrace.render.terminal.foreign import foreign_fields, foreign_losses
from slabtrace.render.terminal.recording import budget_words
from slabtrace.render.terminal.text import write_fields
from slabtrace.trace.manifest import Coverage, Manifest
from slabtrace.units import count, duration, plural, rate, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.trust.completeness import Completeness

MOST_MARKS = 20
TAINTS = "PFSRMBUDAWCIOELKXTNJ"  # by bit, as in kernel/panic.c; J: since 6.16


def write_info(
    out: TextIO,
    path: str,
    manifest: Manifest,
    completeness: Completeness,
    length_ns: int,
    marks: pd.DataFrame,
) -> None:
    """Write what the manifest of the trace at `path` says, its marks, and the losses of `completeness`.

    `length_ns`: how long the recording lasted; `marks`: rows of Trace.marks().
    """
    write_fields(out, fields(path, manifest, completeness, length_ns, marks))


def fields(
    path: str, manifest: Manifest, completeness: Completeness, length_ns: int, marks: pd.DataFrame
) -> list[tuple[str, str]]:
    """(name, value) of everything shown, unescaped; a name may come several times."""
    return [
        ("trace", f"{path} ({manifest.status})"),
        ("recorded", f"{manifest.started_at or 'at an unknown time'}, for {duration(length_ns)}"),
        *_part(manifest),
        ("by", f"slabtrace {manifest.tool_version or '(unknown version)'}"),
        *_redacted(manifest),
        ("options", _options(manifest)),
        *_reduced(completeness),
        *_labels(manifest),
        *foreign_fields(manifest.foreign, completeness),
        ("host", _host(manifest)),
        *_system(manifest),
        *_command(manifest),
        *_marks(marks),
        *_steps(manifest),
        ("events", _events(manifest, length_ns)),
        ("on disk", _on_disk(manifest)),
        *_coverage(manifest.coverage),
        ("lost", foreign_losses(manifest.foreign) if manifest.foreign else _losses(completeness)),
        *_inexact(completeness),
    ]


def _marks(marks: pd.DataFrame) -> Iterator[tuple[str, str]]:
    shown = marks.head(MOST_MARKS)
    for ts_ns, text in zip(shown["ts_ns"], shown["text"], strict=True):
        yield "mark", f"{text} (at {duration(ts_ns)})"
    if len(marks) > MOST_MARKS:
        yield "mark", f"… and {count(len(marks) - MOST_MARKS)} more (--json lists all)"


def _redacted(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.redacted:
        yield "redacted", "addresses, pids, names of tasks, marks, labels and the command were replaced"


def _options(manifest: Manifest) -> str:
    """The options that were set; flags by name alone."""
    words = []
    for name, value in manifest.options.items():
        if value is True:
            words.append(name)
        elif value not in (None, False, [], ""):
            values = value if isinstance(value, list) else [value]
            words.append(f"{name}={','.join(shlex.quote(str(v)) for v in values)}")
    return " ".join(words) or "none"


def _reduced(completeness: Completeness) -> Iterator[tuple[str, str]]:
    """What the recording left out on request."""
    if completeness.filters:
        yield "filtered", f"{' '.join(completeness.filters)}; other events are not in the trace"
    if completeness.sampled_one_in > 1:
        yield "sampled", f"one in {count(completeness.sampled_one_in)} addresses, with all its events"


def _part(manifest: Manifest) -> Iterator[tuple[str, str]]:
    part = manifest.part
    if part is not None:
        before = manifest.started_ns - part.series_started_ns
        since = (
            f", which began {duration(before)} earlier; objects outstanding then were carried into this part"
        )
        yield "part", f"{count(part.number)} of a series{since if part.number > 1 else ''}"


def _steps(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for step in manifest.steps:
        when = duration(step.ts_ns - manifest.started_ns)
        yield "budget", budget_words(step, f"from {when} on")


def _host(manifest: Manifest) -> str:
    host = manifest.host
    kernel = f"Linux {host.release} {host.machine}".strip()
    return f"{host.hostname or '(unnamed)'}: {kernel}, {plural(host.cpus, 'CPU')}, {size(host.memory_bytes)}"


def _system(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What runs on the host, and how it was booted; a trace older than 2.2 does not say."""
    host = manifest.host
    name = host.os.pretty_name or " ".join(filter(None, (host.os.id, host.os.version_id)))
    if name:
        yield "system", name
    if host.boot_id:
        yield "boot", host.boot_id
    if host.command_line:
        yield "booted with", host.command_line
    if host.build_id:
        yield "build id", host.build_id
    if host.tainted:
        yield "tainted", taint_letters(host.tainted)


def taint_letters(tainted: int) -> str:
    """The letters that the kernel prints for these bits of /proc/sys/kernel/tainted; new bits as a number."""
    letters = "".join(letter for bit, letter in enumerate(TAINTS) if tainted >> bit & 1)
    rest = tainted >> len(TAINTS) << len(TAINTS)
    return " ".join([*([letters] if letters else []), *([f"{rest:#x}"] if rest else [])])


def _labels(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.labels:
        yield "labels", " ".join(f"{name}={shlex.quote(value)}" for name, value in manifest.labels.items())


def _command(manifest: Manifest) -> Iterator[tuple[str, str]]:
    command = manifest.command
    if command is not None:
        ending = "still running" if command.exit_status is None else f"exit status {command.exit_status}"
        yield "command", f"{shlex.join(command.argv)} (pid {command.pid}, {ending})"


def _events(manifest: Manifest, length_ns: int) -> str:
    totals = manifest.totals
    counted = f", and {plural(totals.counted, 'object')} counted without events" if totals.counted else ""
    return (
        f"{count(totals.events)} ({rate(totals.events / max(length_ns, 1) * 1e9)}){counted}: "
        f"{count(totals.allocs)} allocations, {count(totals.frees)} frees; "
        f"also {plural(totals.failed_allocs, 'failed allocation')} "
        f"and {plural(totals.null_frees, 'free')} of NULL"
    )


def _on_disk(manifest: Manifest) -> str:
    totals = manifest.totals
    each = f", {totals.bytes_on_disk / totals.events:.1f} bytes per event" if totals.events else ""
    return f"{size(totals.bytes_on_disk)} in {plural(totals.segments, 'segment')}{each}"


def _coverage(coverage: Coverage) -> Iterator[tuple[str, str]]:
    yield "traced", ", ".join(coverage.attached) or "nothing"
    if coverage.twins:
        yield "with twins", ", ".join(coverage.twins)
    reasons: dict[str, list[str]] = {}
    for path in coverage.unattached:
        reasons.setdefault(path.reason, []).append(path.path)
    for reason, paths in reasons.items():
        yield "not traced", f"{', '.join(paths)}: {reason}"
    if coverage.charges_unread:
        yield "charged cgroups", f"not read: {coverage.charges_unread}"
    for what in coverage.unrecorded:
        yield "not recorded", what


def _losses(completeness: Completeness) -> str:
    losses = [
        (completeness.dropped, "dropped (the ring was full)"),
        (completeness.skipped, "skipped (the kernel did not call the program, which was busy on that CPU)"),
        (completeness.late, "late (stored out of order)"),
    ]
    return "; ".join(f"{count(number)} {words}" for number, words in losses if number) or "nothing"


def _inexact(completeness: Completeness) -> Iterator[tuple[str, str]]:
    """What is not lost, but is not as it should be either."""
    if completeness.recovered:
        recovered = plural(completeness.recovered, "event")
        yield "recovered", f"{recovered} that the kernel had skipped: the twin recorded them"
    if completeness.missed_frees_inferred:
        yield (
            "inferred",
            f"{plural(completeness.missed_frees_inferred, 'free')} not seen: the address was allocated "
            "again, the slab was given back, or the slab lists the object as free",
        )
    if completeness.unmatched_frees:
        yield (
            "unmatched",
            f"{plural(completeness.unmatched_frees, 'free')} of objects older than the recording, or whose "
            "allocation was missed",
        )
    if completeness.cgroups_unjudged:
        yield (
            "not judged",
            f"{plural(completeness.cgroups_unjudged, 'cgroup')} made while recording: there was no room, or "
            "the path was too long; if --cgroup matches, what tasks allocated there is missing",
        )
    if completeness.stacks_lost:
        yield "no stack", f"{plural(completeness.stacks_lost, 'event')} whose stack was lost"
