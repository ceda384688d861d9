# SPDX-License-Identifier: Apache-2.0
"""What a digest says of the trace and its host: columns.fleet.TRACE_FACTS of one trace."""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING, Any

from slabtrace import __version__
from slabtrace.analysis.leaks.verdict import lost_share
from slabtrace.analysis.trust.filters import PARTIAL_FILTERS, TYPED, filter_options, filtered

if TYPE_CHECKING:
    from slabtrace.api import Trace
    from slabtrace.trace.manifest import Manifest

DAY_S = 86_400
MOST_TEXT, MOST_MODULES_TEXT = 1_000, 20_000  # characters of a text; of all modules' names
MOST_LABELS, MOST_LABELS_TEXT = 64, 20_000
_FILTERS = tuple(name for name in PARTIAL_FILTERS if name in TYPED)


def trace_facts(trace: Trace, name: str, fingerprint: str) -> dict[str, Any]:
    """The facts of a trace that was read whole; `name`: what it is called."""
    manifest, completeness = trace.manifest, trace.completeness()
    verdict = trace.verdict()
    rate = verdict.least_rate_per_s
    return {
        "fingerprint": fingerprint,
        "trace": text(name.removesuffix(".zip")),
        "tool_version": __version__,
        **_host(manifest),
        **_times(manifest, trace.span_ns),
        "modules": _joined(sorted({each for each in trace.modules()["name"].tolist() if each})),
        "status": text(manifest.status),
        "damage": text(" ".join(trace.damage)),
        **_how(manifest),
        "events": int(completeness.events),
        "lost": int(completeness.lost),
        "lost_ppm": round(1e6 * lost_share(manifest)),
        "unwatched": text(" ".join(each.path for each in manifest.coverage.unattached)),
        "exact": bool(completeness.exact),
        "verdict": text(" ".join(verdict.sentences)),
        "least_per_day": None if rate is None else per_day(rate, ceil),
    }


def text(value: object, most: int = MOST_TEXT) -> str:
    """`value` as a text of at most `most` characters that every reader of UTF-8 accepts."""
    return str(value or "")[:most].encode("utf-8", "backslashreplace").decode("utf-8")[:most]


def per_day(per_second: float, rounded: Any = round) -> int:
    """A rate (or growth) as an integer a day."""
    return int(min(max(rounded(per_second * DAY_S), -(1 << 62)), 1 << 62))


def _host(manifest: Manifest) -> dict[str, Any]:
    host = manifest.host
    return {
        "host": text(host.hostname),
        "boot_id": text(host.boot_id),
        "release": text(host.release),
        "kernel": text(host.version),
        "build_id": text(host.build_id),
        "machine": text(host.machine),
        "os": text(f"{host.os.id} {host.os.version_id}".strip()),
        "cpus": host.cpus,
        "memory_bytes": host.memory_bytes,
        "tainted": host.tainted,
        "labels": _labels(manifest.labels),
    }


def _labels(labels: dict[str, str]) -> str:
    """Labels as JSON, as many as find room: what is not ASCII takes six characters or twelve."""
    kept: dict[str, str] = {}
    room = MOST_LABELS_TEXT
    for key, value in sorted(labels.items())[:MOST_LABELS]:
        one = {text(key, 100): text(value, 200)}
        room -= len(json.dumps(one))
        if room >= 0:
            kept |= one
    return json.dumps(kept)


def _times(manifest: Manifest, span_ns: tuple[int, int]) -> dict[str, Any]:
    begin, end = span_ns
    offset = manifest.realtime_minus_monotonic_ns
    return {
        "boot_s": offset // 10**9,
        "begin_s": (begin + offset) // 10**9,
        "end_s": (end + offset) // 10**9,
        "begin_ns": begin,
        "end_ns": end,
        "series_ns": manifest.part.series_started_ns if manifest.part else begin,
        "part": manifest.part.number if manifest.part else None,
    }


def _how(manifest: Manifest) -> dict[str, Any]:
    """How it was recorded, as far as it matters for what it can have seen."""
    globs = manifest.options.get("cache")
    return {
        "mode": text(manifest.options.get("mode") or "events", 32),
        "stacks": text(manifest.options.get("stacks") or "", 32),
        "filters": text(" ".join(filter_options(manifest))),
        "cache_globs": text("\n".join(map(str, globs)) if isinstance(globs, list) else ""),
        "partial": filtered(manifest, _FILTERS),
        "sample": manifest.sampled_one_in,
    }


def _joined(names: list[str]) -> str:
    """Names with spaces between them, as many as find room; a name with a space in it is left out."""
    joined = " ".join(text(each, 64) for each in names if " " not in each)
    return joined if len(joined) <= MOST_MODULES_TEXT else joined[:MOST_MODULES_TEXT].rpartition(" ")[0]
