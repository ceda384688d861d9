# SPDX-License-Identifier: Apache-2.0
"""A recording of another tool, read and written as an ordinary trace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from slabtrace.errors import TraceError
from slabtrace.importing.formats.reading import Progress, read
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.making import coverage as facts_of
from slabtrace.importing.making.maker import Maker
from slabtrace.importing.making.versions import traced_after
from slabtrace.importing.records import Facts, Lost, Texts
from slabtrace.trace.files.place import check_place, make_place, remove_trace
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import COMPLETE, Host, Manifest
from slabtrace.trace.writing.writer import TraceWriter

LARGEST_NS = 1 << 62
EPOCH_NS = 946_684_800 * 1_000_000_000  # the year 2000: later times are since 1970, not since boot


def import_recording(
    sources: Sequence[Source],
    output: Path,
    kernel: str = "",
    tool_version: str = "",
    progress: Progress = None,
    force: bool = False,
) -> Manifest:
    """Write the recording in `sources` as the trace `output`; returns its manifest.

    `kernel`: release of the recorded kernel, where the recording does not say it.  `progress` is called with
    numbers of bytes read.  Raises UsageError, TraceError if nothing can be read (the trace is then removed),
    WriteError.
    """
    check_place(output, force)
    texts, facts = Texts(), Facts(release=kernel)
    records = read(sources, texts, facts, progress)
    first = next(records, None)  # before anything is written: here most errors are found
    if kernel:
        facts.release = kernel
    manifest = Manifest(tool_version=tool_version, host=Host(release=facts.release))
    writer = TraceWriter(make_place(output, force=force), manifest)
    try:
        maker = Maker(writer, texts, facts.release)
        if first is not None:
            maker.add(first)
        for batch in records:
            maker.add(batch)
        _check(maker, facts, sources)
        maker.finish()
        _write_losses(writer, facts, maker)
        _complete(manifest, maker, facts, sources)
        manifest.totals.bytes_on_disk, manifest.totals.segments = writer.bytes, writer.segments
        writer.close(COMPLETE)
    except BaseException:
        try:
            writer.close("failed: the import was interrupted")
        finally:
            remove_trace(output)
        raise
    return manifest


def _check(maker: Maker, facts: Facts, sources: Sequence[Source]) -> None:
    """Raise TraceError if there was no event at all."""
    if maker.kinds:
        return
    what = ", ".join(str(source.path) for source in sources)
    rejected = (
        f"; {facts.rejected:,} lines look like kmem events but cannot be read" if facts.rejected else ""
    )
    raise TraceError(
        f"{what}: no kmem event was found{rejected}",
        "Record kmem:kmalloc, kmem:kmem_cache_alloc, kmem:kfree and kmem:kmem_cache_free.",
    )


def _write_losses(writer: TraceWriter, facts: Facts, maker: Maker) -> None:
    """losses.arrow: what the recording says of events that it lost."""
    first, last = maker.first_ns or 0, maker.last_ns
    lost = list(facts.lost)
    if overwritten := facts_of.overwritten(facts):
        lost.append(Lost(0, first, -1, overwritten, "overwritten"))
    if missing := facts_of.absent(facts):
        lost.append(Lost(first, LARGEST_NS, -1, missing, "not in the file"))
    rows = {
        "begin_ns": [min(max(each.begin_ns, 0), last) for each in lost],
        "end_ns": [min(max(each.end_ns, 0), last + 1) for each in lost],
        "cpu": [each.cpu for each in lost],
        "kind": [int(Loss.FOREIGN)] * len(lost),
        "program": [facts.tool] * len(lost),
        "count": [min(each.events, LARGEST_NS) for each in lost],
    }
    writer.rows("losses", rows)


def _complete(manifest: Manifest, maker: Maker, facts: Facts, sources: Sequence[Source]) -> None:
    """Fill the manifest."""
    first = maker.first_ns or 0
    release = manifest.host.release = facts.release
    manifest.started_ns, manifest.ended_ns = first, maker.last_ns
    if first > EPOCH_NS:
        began = datetime.fromtimestamp(first / 1e9, UTC)
        manifest.started_at = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest.host.hostname, manifest.host.machine = facts.hostname, facts.machine
    manifest.host.cpus = facts.cpus_declared or (max(facts.cpus) + 1 if facts.cpus else 0)
    late = traced_after(release)
    manifest.coverage = facts_of.coverage(facts.tool, maker.kinds, facts, late)
    manifest.options = {"stacks": "all" if maker.stacks else "none"}
    foreign = facts_of.foreign(facts, maker.kinds, [source.path.name for source in sources])
    foreign.suspected = facts_of.suspected(maker.single, manifest.totals.allocs)
    foreign.named_sites = maker.addresses.made_up > 0
    foreign.guessed_caches = maker.caches.guessed
    foreign.tasks = "derived" if facts.tasks_derived else ("recorded" if maker.tasks else "unknown")
    foreign.backwards, foreign.peak = maker.backwards, maker.peak
    manifest.foreign = foreign
