# SPDX-License-Identifier: Apache-2.0
"""Reports on stderr, while recording, what looks like a wrong free: at once, one line each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from slabtrace.analysis.mismatches.live import LiveFinding
    from slabtrace.capture.session import Session
    from slabtrace.trace.format.batch import EventBatch
    from slabtrace.trace.manifest import Manifest

MOST_LINES = 5  # of each kind


class Watch:
    """An observer of the recorder's (capture.storing.storing.Observer).  Lives in its storing thread.

    `say`: takes each line; to stderr by default.
    """

    def __init__(
        self, session: Session, manifest: Manifest, say: Callable[[str], None] | None = None
    ) -> None:
        self._session = session
        self._manifest = manifest
        self._say = say or _to_stderr
        self._live: Any = None
        self._lines: Counter[str] = Counter()
        self._skipped = 0  # events that the kernel skipped without a twin's record, at most

    def sites(self, rows: Mapping[str, Any]) -> None:
        """Take sites as they are stored."""
        self._started().add_sites(rows)

    def lost(self, until_ns: int) -> None:
        """Note that events before this time are missing."""
        self._started().lost(until_ns)

    def events(self, batch: EventBatch) -> None:
        """Take events as they are stored, and report wrong frees."""
        from slabtrace.analysis.mismatches.object_layout import Shape

        self._note_skipped()
        caches = self._session.caches.all()
        shapes = {cache.identity: Shape(cache.size, cache.order, cache.red_left_pad) for cache in caches}
        for finding in self._started().add(batch, shapes):
            self._lines[finding.kind] += 1
            if self._lines[finding.kind] <= MOST_LINES:
                self._say(self._line(finding))
            elif self._lines[finding.kind] == MOST_LINES + 1:
                self._say(f"more like this {finding.kind} follow; `slabtrace mismatches` will show them all")

    def _note_skipped(self) -> None:
        """Note that events are missing if the kernel skipped some until now; it counts them at once.

        The ledger has them only a second later, and one of them may be an allocation between two frees.
        """
        from slabtrace.analysis.trust.losses import HARMLESS, TWIN

        misses = self._session.programs.recursion_misses()
        last = (name for name in misses if name.endswith(TWIN) or name + TWIN not in misses)
        skipped = sum(misses[name] for name in last if name not in HARMLESS)
        if skipped != self._skipped:
            self._skipped = skipped
            self._started().lost(time.monotonic_ns())

    def _started(self) -> Any:
        """The detector, made with the first sites: by then the programs are attached."""
        if self._live is None:
            from slabtrace.analysis.mismatches.live import LiveMismatches

            self._live = LiveMismatches(self._manifest)
        return self._live

    def _line(self, finding: LiveFinding) -> str:
        """The line for a finding, escaped."""
        from slabtrace.render.terminal.text import escape

        cache = self._session.caches.at(finding.cache)
        symbol = self._session.kallsyms.resolve(finding.call_site)
        where = f"{finding.call_site:#x}"
        if symbol is not None:
            where = f"{symbol.name}+{symbol.offset:#x}" + (f" [{symbol.module}]" if symbol.module else "")
        return escape(
            f"apparent {finding.kind} of {finding.ptr:#x} in {cache.name if cache else 'an unknown cache'}"
            f" by {self._session.pids.comm(finding.tid) or 'a task'} (tid {finding.tid}) at {where}"
        )


def _to_stderr(line: str) -> None:
    """Write the line, over the status line if there is one."""
    import sys

    with suppress(OSError):  # nobody reads it any more; the recording goes on
        click.echo(f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True)
