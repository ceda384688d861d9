# SPDX-License-Identifier: Apache-2.0
"""What was found of objects, as rows of objects.arrow or of a census; no kernel memory is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from slabtrace.capture.inspecting.holders.chains import NO_CHAIN, POINTS, Chain, Step
from slabtrace.trace.format.schema import Held

MOST_TEXT = 512  # characters of a description or of one holder
_TOO_LONG = "…"


class Described(Protocol):
    """What an Inspector says of an object (inspector.Thing)."""

    @property
    def address(self) -> int: ...  # noqa: D102

    @property
    def cache(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def in_use(self) -> bool | None: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def description(self) -> str: ...  # noqa: D102

    @property
    def references(self) -> int | None: ...  # noqa: D102


class ObjectRow(NamedTuple):
    """An object.

    `in_use`: it is not free.  `holders`: who holds it, the nearest first (`holder`: its
    address, 0 if that is no object); `held`: how much that says (schema.Held)."""

    ptr: int
    cache: str
    size: int
    in_use: bool
    kind: str
    description: str
    references: int | None
    held: int
    holders: tuple[str, ...]
    holder: int


def rows(
    things: Sequence[Described], chains: Mapping[int, Chain], kinds: Mapping[int, str]
) -> list[ObjectRow]:
    """A row for each object.  `kinds`: of those that only their holder tells."""
    return [_row(thing, chains.get(thing.address, NO_CHAIN), kinds) for thing in things]


def _row(thing: Described, chain: Chain, kinds: Mapping[int, str]) -> ObjectRow:
    there = thing.in_use is not False
    nearest = chain.steps[0] if chain.steps and there else None
    holders = tuple(_cut(_words(step)) for step in chain.steps)
    return ObjectRow(
        ptr=thing.address,
        cache=thing.cache,
        size=thing.size,
        in_use=there,
        kind=thing.kind or (kinds.get(thing.address, "") if there else ""),
        description=_cut(thing.description),
        references=thing.references,
        held=_held(thing, chain) if there else 0,
        holders=holders if there else (),
        holder=nearest.address if nearest and nearest.area == "slab" else 0,
    )


def _held(thing: Described, chain: Chain) -> int:
    return int(Held.UNREAD) if thing.in_use is None and chain.worth == Held.NOTHING else chain.worth


def _words(step: Step) -> str:
    """As "in the receive queue of sock UNIX", or "kmalloc-64, +0x18 points at it"."""
    found = step.relation.startswith(POINTS)
    return f"{step.what} {step.relation}" if found else f"{step.relation} {step.what}".strip()


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + _TOO_LONG
