# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace info`: what was recorded, where, how, and what could not be seen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, TextIO

from slabtrace.render.terminal.text import write_fields
from slabtrace.trace.manifest import Coverage, Manifest
from slabtrace.units import count, duration, percent, plural, rate, size


def write_info(out: TextIO, path: str, manifest: Manifest, completeness: Any, length_ns: int) -> None:
    """Write what the manifest of the trace at `path` says, and the losses of `completeness`.

    `length_ns`: how long the recording lasted.
    """
    write_fields(out, fields(path, manifest, completeness, length_ns))


def fields(path: str, manifest: Manifest, completeness: Any, length_ns: int) -> list[tuple[str, str]]:
    """(name, value) of all that is told, unescaped; a name may come several times."""
    return [
        ("trace", f"{path} ({manifest.status})"),
        ("recorded", f"{manifest.started_at or 'at an unknown time'}, for {duration(length_ns)}"),
        *_part(manifest),
        ("by", f"slabtrace {manifest.tool_version or '(unknown version)'}"),
        *_redacted(manifest),
        ("options", _options(manifest)),
        ("host", _host(manifest)),
        *_command(manifest),
        *_steps(manifest),
        ("events", _events(manifest, length_ns)),
        ("on disk", _on_disk(manifest)),
        *_coverage(manifest.coverage),
        ("lost", _losses(completeness)),
        *_recovered(completeness),
    ]


def _redacted(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.redacted:
        yield "redacted", "addresses, pids, names of tasks, marks and the command are made up"


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


def _part(manifest: Manifest) -> Iterator[tuple[str, str]]:
    part = manifest.part
    if part is not None:
        before = manifest.started_ns - part.series_started_ns
        since = f", which began {duration(before)} earlier: what it left until then is here too"
        yield "part", f"{count(part.number)} of a series{since if part.number > 1 else ''}"


def _steps(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for step in manifest.steps:
        cost = (
            f"{percent(step.programs)} of all CPUs' time in the kernel, {percent(step.recorder)} in slabtrace"
        )
        when = duration(step.ts_ns - manifest.started_ns)
        which = "no stacks" if step.one_in == step.before else f"one in {count(step.one_in)} addresses"
        if step.kept:
            yield "budget", f"{which} from {when} on: it had cost {cost}"
        else:
            yield "budget", f"not kept from {when} on: {cost}; a coarser sample saves nothing"


def _host(manifest: Manifest) -> str:
    host = manifest.host
    kernel = f"Linux {host.release} {host.machine}".strip()
    return f"{host.hostname or '(unnamed)'}: {kernel}, {plural(host.cpus, 'CPU')}, {size(host.memory_bytes)}"


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
        f"besides {plural(totals.failed_allocs, 'failed allocation')} "
        f"and {plural(totals.null_frees, 'kfree')} of NULL"
    )


def _on_disk(manifest: Manifest) -> str:
    totals = manifest.totals
    each = f", {totals.bytes_on_disk / totals.events:.1f} bytes per event" if totals.events else ""
    return f"{size(totals.bytes_on_disk)} in {plural(totals.segments, 'segment')}{each}"


def _coverage(coverage: Coverage) -> Iterator[tuple[str, str]]:
    yield "watched", ", ".join(coverage.attached) or "nothing"
    if coverage.twins:
        yield "with twins", ", ".join(coverage.twins)
    for path in coverage.unattached:
        yield "not watched", f"{path.path}: {path.reason}"


def _losses(completeness: Any) -> str:
    losses = [
        (completeness.dropped, "dropped (the ring was full)"),
        (completeness.skipped, "skipped (they came while slabtrace's program was busy on their CPU)"),
        (completeness.stacks_lost, "without their stack"),
        (
            completeness.missed_frees_inferred,
            "frees missed, proved by their address or slab being used again, or found free at the end",
        ),
        (completeness.unmatched_frees, "frees of objects whose allocation was not seen"),
    ]
    return "; ".join(f"{count(number)} {words}" for number, words in losses if number) or "nothing"


def _recovered(completeness: Any) -> Iterator[tuple[str, str]]:
    if completeness.recovered:
        caught = plural(completeness.recovered, "event")
        yield "recovered", f"{caught} more that were skipped so: a second program (the twin) caught them"
