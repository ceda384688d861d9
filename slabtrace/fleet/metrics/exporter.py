# SPDX-License-Identifier: Apache-2.0
"""The metrics of the newest digest in a folder, for prometheus_client; the recorder is never asked.

A scrape reads a digest again only if there is a newer one.  Where there is none, the metrics say so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slabtrace.errors import SlabtraceError
from slabtrace.fleet.digests.file import MOST_BYTES, SUFFIX, Digest
from slabtrace.fleet.metrics.families import READ, Family, families
from slabtrace.fleet.metrics.openmetrics import metric, registry_of


def newest(place: Path) -> Path | None:
    """The digest `place`, or the newest in that folder by the time of its file; None: there is none."""
    if not place.is_dir():
        return place
    files = [path for path in place.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink()]
    return max(files, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def read(path: Path) -> list[Family]:
    """The metrics of a digest.  Raises TraceError, OSError."""
    with path.open("rb") as file:
        digest = Digest(file.read(MOST_BYTES + 1), str(path))
    return families(digest.trace(), digest.findings(READ).to_pylist())


class Exporter:
    """A collector of prometheus_client.  `place`: a digest or a folder of digests."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._known: tuple[Path, int] | None = None
        self._families: list[Family] = []

    def collect(self) -> Iterator[Any]:
        """New metrics for each scrape."""
        began = time.perf_counter()
        failed = self._refresh()
        for each in self._families:
            yield metric(each)
        yield metric(_gauge("slabtrace_digest_unreadable", "1 if the newest digest cannot be read.", failed))
        took = time.perf_counter() - began
        yield metric(_gauge("slabtrace_collect_duration_seconds", "How long this took.", took))

    def _refresh(self) -> bool:
        """Read the newest digest if it is new; whether that failed."""
        try:
            path = newest(self._place)
            if path is None:
                return True
            state = path, path.stat().st_mtime_ns
            if state != self._known:
                self._families = read(path)
                self._known = state
        except (OSError, SlabtraceError):
            return True
        return False


def registry(place: Path) -> Any:
    """A registry with these metrics alone.  Raises UsageError where prometheus_client is missing."""
    return registry_of(Exporter(place))


def _gauge(name: str, words: str, value: float) -> Family:
    return Family(name, "gauge", words, (), (((), float(value)),))
