# SPDX-License-Identifier: Apache-2.0
"""Digests merged: a set of rows, one a trace, each with what grows in it and what is too young to judge.

Merging is a union by fingerprint, all numbers are integers, and `rows` is sorted: the result is the same for
any order, any tree, and a trace that was read twice.

Example: three digests in two orders, one of them twice.

    {a} + {b} + {c} + {b}    rows: a, b, c
    ({c} + {b}) + {a}        rows: a, b, c
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slabtrace.analysis.leaks.findings import GROWING, SUSPECT, YOUNG
from slabtrace.fleet.digests.file import Digest

# Columns that are read of findings that grow.
READ = (
    "signature", "class", "local", "growth_per_day", "growth_low_per_day", "rate_per_day", "bytes",
    "confidence", "maybe_freed", "variant", "title", "family", "cache", "stack", "object", "command",
)  # fmt: skip
_INTERNED = ("variant", "title", "family", "cache", "object", "command")


class Grown(NamedTuple):
    """A finding that grows, as in columns.fleet.DIGEST.  `sure`: none of it can have been freed unseen."""

    signature: str
    suspect: bool
    local: bool
    growth: int
    low: int
    rate: int
    bytes: int
    sure: bool
    variant: str
    title: str
    family: str
    cache: str
    stack: str
    object: str
    command: str


@dataclass(frozen=True)
class Row:
    """A trace: its facts (columns.fleet.TRACE_FACTS), where it is, what grows in it, what is too young.

    `digest`: a hash of the digest.  Of two digests of one trace the one of the later tool counts.
    """

    facts: dict[str, Any]
    place: str
    digest: str
    grown: tuple[Grown, ...]
    young: frozenset[str]

    @property
    def order(self) -> tuple[str, str, str]:
        """By this one of two rows of the same trace is chosen."""
        return self.facts["tool_version"], self.digest, self.place


@dataclass
class Merged:
    """Rows by fingerprint; `copies`: places of the same trace, without the one that counts."""

    by_fingerprint: dict[str, Row] = field(default_factory=dict)
    copies: set[tuple[str, str]] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Take a trace."""
        name = row.facts["fingerprint"]
        here = self.by_fingerprint.get(name)
        if here is None or row.order > here.order:
            self.by_fingerprint[name] = row
            row, here = (here or row), row
        if row.place != here.place:
            self.copies.add((name, row.place))
        self.copies.discard((name, here.place))

    def merge(self, other: Merged) -> None:
        """Take all traces of `other`."""
        for row in other.by_fingerprint.values():
            self.add(row)
        for name, place in other.copies:
            if self.by_fingerprint[name].place != place:
                self.copies.add((name, place))

    def rows(self) -> list[Row]:
        """All traces, by fingerprint."""
        return [self.by_fingerprint[name] for name in sorted(self.by_fingerprint)]

    def chosen(self, rows: Iterable[Row]) -> Merged:
        """These rows alone."""
        return Merged({row.facts["fingerprint"]: row for row in rows})


def row_of(digest: Digest, place: str, content_hash: str) -> Row:
    """The row of a digest that was found at `place`.  Raises TraceError if it is damaged."""
    facts = {key: sys.intern(value) if type(value) is str else value for key, value in digest.trace().items()}
    found = list(_grown(digest))
    grown = tuple(sorted(each for each in found if isinstance(each, Grown)))
    young = frozenset(each for each in found if isinstance(each, str))
    return Row(facts, place, content_hash, grown, young)


def _grown(digest: Digest) -> Iterator[Grown | str]:
    """What grows in it, and the signatures of what is young."""
    judged = digest.findings(["class", "signature"])
    classes, signatures = judged.column("class").to_pylist(), judged.column("signature")
    yield from (sys.intern(signatures[at].as_py()) for at, each in enumerate(classes) if each == YOUNG)
    wanted = [at for at, each in enumerate(classes) if each in (SUSPECT, GROWING)]
    if wanted:  # of most hosts nothing grows, and the other columns need not be decoded
        yield from map(grown_of, digest.findings(READ).take(wanted).to_pylist())


def grown_of(row: Mapping[str, Any]) -> Grown:
    """A row of columns.fleet.DIGEST, of a finding that grows."""
    texts = {name: sys.intern(row[name]) for name in _INTERNED}
    return Grown(
        signature=sys.intern(row["signature"]),
        suspect=row["class"] == SUSPECT,
        local=bool(row["local"]),
        growth=_number(row["growth_per_day"]),
        low=_number(row["growth_low_per_day"]),
        rate=_number(row["rate_per_day"]),
        bytes=_number(row["bytes"]),
        sure=row["confidence"] == "exact" or row["maybe_freed"] == 0,
        stack=row["stack"],
        **texts,
    )


def _number(value: int | None) -> int:
    """What a stranger's digest says, within what can be summed over a million hosts."""
    return min(max(value or 0, 0), 1 << 42)
