# SPDX-License-Identifier: Apache-2.0
"""Metrics of a digest as plain values: names, help and samples, of a bounded number.

Names follow prometheus.io's "Writing exporters": base units, _total for counters only, timestamps, no ages.
Suspects have the fleet's signature as a label: `count by (signature) (slabtrace_suspect_bytes)` says how many
hosts have an issue.  Stacks are no labels.  Caches of one name are summed, for two series of one name break
a scrape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slabtrace.analysis.leaks.findings import GROWING, REPLACING, RETAINED, SUSPECT

MOST_CACHES, MOST_SUSPECTS = 16, 20
OTHER = "(other)"
COUNTED = (SUSPECT, GROWING, REPLACING, RETAINED)
DAY_S = 86_400
MOST_LABEL = 120  # characters

READ = (
    "class", "signature", "cache", "title", "objects", "bytes", "growth_per_day", "growth_low_per_day",
    "oldest_s",
)  # fmt: skip


class Family(NamedTuple):
    """`kind`: gauge, counter or info.  `samples`: (values of `labels`, value)."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], float], ...]


def families(facts: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> list[Family]:
    """All metrics of a digest: its columns.fleet.TRACE_FACTS, and READ of its findings."""
    unwatched, recording = len(facts["unwatched"].split()), facts["status"] == "recording"
    newest = "slabtrace_last_digest_timestamp_seconds"
    return [
        _one("slabtrace_build", "info", "Version of slabtrace.", ("version",), (facts["tool_version"],)),
        _one(
            "slabtrace_kernel", "info", "The recorded kernel.", ("release", "build_id"),
            (facts["release"], facts["build_id"]),
        ),
        _one("slabtrace_events", "counter", "Events of the newest recording.", value=facts["events"]),
        _one("slabtrace_events_lost", "counter", "Events lost, at most.", value=facts["lost"]),
        *_outstanding(findings),
        _classes(findings),
        *_suspects(facts, findings),
        _one("slabtrace_unwatched_paths", "gauge", "Silent paths that are not traced.", value=unwatched),
        _one("slabtrace_recording", "gauge", "1 while it is being recorded.", value=recording),
        _one(newest, "gauge", "End of what was read last.", value=facts["end_s"]),
    ]  # fmt: skip


def _one(
    name: str,
    kind: str,
    words: str,
    labels: tuple[str, ...] = (),
    values: tuple[str, ...] = (),
    value: float = 1,
) -> Family:
    return Family(name, kind, words, labels, ((tuple(_label(each) for each in values), float(value)),))


def _label(text: str) -> str:
    """A label's value: every reader accepts it, and it is short."""
    return text[:MOST_LABEL].encode("utf-8", "backslashreplace").decode("utf-8")


def _outstanding(findings: Sequence[Mapping[str, Any]]) -> list[Family]:
    """Objects and bytes by cache: those with most bytes, and all others together."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in findings:
        total = totals[_label(each["cache"])]
        total[0], total[1] = total[0] + (each["objects"] or 0), total[1] + (each["bytes"] or 0)
    order = sorted(totals, key=lambda name: (-totals[name][1], name))
    shown = {name: totals[name] for name in order[:MOST_CACHES]}
    shown[OTHER] = [sum(totals[name][at] for name in order[MOST_CACHES:]) for at in (0, 1)]
    words = {"objects": "Objects not freed, by slab cache of their owner.", "bytes": "What they occupy."}
    return [
        Family(
            f"slabtrace_outstanding_{unit}", "gauge", help_, ("cache",),
            tuple(((name,), float(total[at])) for name, total in shown.items()),
        )
        for at, (unit, help_) in enumerate(words.items())
    ]  # fmt: skip


def _classes(findings: Sequence[Mapping[str, Any]]) -> Family:
    counted = Counter(each["class"] for each in findings)
    samples = tuple(((name,), float(counted[name])) for name in COUNTED)
    return Family("slabtrace_findings", "gauge", "Findings by class.", ("class",), samples)


def _suspects(facts: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> list[Family]:
    """The MOST_SUSPECTS that certainly grow most; how many are left out is a metric, too."""
    issues: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in findings:
        if each["class"] == SUSPECT:
            issues[each["signature"]].append(each)
    order = sorted(issues, key=lambda name: (-_sum(issues[name], "growth_low_per_day"), name))
    labels = ("signature", "cache", "function")
    named = {
        name: (name, _label(issues[name][0]["cache"]), _function(issues[name][0]["title"]))
        for name in order[:MOST_SUSPECTS]
    }
    since = {name: facts["end_s"] - max(each["oldest_s"] or 0 for each in issues[name]) for name in named}
    columns: tuple[tuple[str, str, Any], ...] = (
        ("bytes", "What a suspected leak occupies.", lambda name: _sum(issues[name], "bytes")),
        (
            "growth_bytes_per_second", "How fast it grows.",
            lambda name: _sum(issues[name], "growth_per_day") / DAY_S,
        ),
        (
            "growth_certain_bytes_per_second", "Lower end of the 95 % interval of its growth.",
            lambda name: _sum(issues[name], "growth_low_per_day") / DAY_S,
        ),
        ("since_timestamp_seconds", "When its oldest object was allocated.", lambda name: since[name]),
    )  # fmt: skip
    made = [
        Family(
            f"slabtrace_suspect_{end}", "gauge", words, labels,
            tuple((named[name], float(value(name))) for name in named),
        )
        for end, words, value in columns
    ]  # fmt: skip
    left = len(order) - len(named)
    return [*made, _one("slabtrace_suspects_not_exported", "gauge", "Suspects without a series.", value=left)]


def _function(title: str) -> str:
    """The innermost function of an issue's title, as "load_msg" of "msg_msg-128: load_msg < do_msgsnd"."""
    return _label(title.partition(": ")[2].partition(" < ")[0])


def _sum(findings: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(each[name] or 0 for each in findings)
