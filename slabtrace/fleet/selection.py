# SPDX-License-Identifier: Apache-2.0
"""Choosing traces of a fleet by terms: host=web-*, build=6.12*, until=2026-11-01, label.role=db."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from slabtrace.errors import UsageError
from slabtrace.fleet.judging.attributes import build_of, labels_of
from slabtrace.fleet.merging.merged import Merged, Row

Chooses = Callable[[Row], bool]
BY_GLOB: dict[str, Callable[[Row], str]] = {
    "host": lambda row: str(row.facts["host"]),
    "release": lambda row: str(row.facts["release"]),
    "build": build_of,
    "system": lambda row: str(row.facts["os"]),
    "machine": lambda row: str(row.facts["machine"]),
    "trace": lambda row: str(row.facts["trace"]),
}
LABEL = "label."
HOW = (
    "write host=, release=, build=, system=, machine=, trace= or label.NAME= with a pattern, "
    "from= or until= with a date"
)


def chosen(merged: Merged, terms: Sequence[str]) -> Merged:
    """The traces for which all terms hold.  Raises UsageError for a term that is none."""
    rules = [_rule(term) for term in terms]
    kept = merged.chosen(row for row in merged.rows() if all(rule(row) for rule in rules))
    kept.copies = {each for each in merged.copies if each[0] in kept.by_fingerprint}
    return kept


def _rule(term: str) -> Chooses:
    key, equals, value = term.partition("=")
    if not equals or not value:
        raise UsageError(f"{term!r} is not a term", HOW)
    if key in ("from", "until"):
        moment = _moment(value)
        return (
            (lambda row: row.facts["end_s"] >= moment)
            if key == "from"
            else (lambda row: row.facts["begin_s"] < moment)
        )
    if key.startswith(LABEL):
        name = key.removeprefix(LABEL)
        return lambda row: fnmatchcase(labels_of(row).get(name, ""), value)
    if key not in BY_GLOB:
        raise UsageError(f"{term!r} is not a term", HOW)
    return lambda row: fnmatchcase(BY_GLOB[key](row), value)


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date", "write 2026-11-01, or 2026-11-01T15:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
