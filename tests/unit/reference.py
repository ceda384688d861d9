# SPDX-License-Identifier: Apache-2.0
"""Pairing one event at a time with dictionaries: slow, plain, and what the real one must equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from slabtrace.trace.schema import Flag
from tests.unit.synthetic import Event


@dataclass
class Outcome:
    """Events as positions in the sequence given."""

    freed: set[tuple[int, int]] = field(default_factory=set)
    inferred: set[tuple[int, int]] = field(default_factory=set)
    duplicates: set[tuple[int, int]] = field(default_factory=set)  # of allocations: (first, second)
    old_frees: set[int] = field(default_factory=set)
    second_frees: set[int] = field(default_factory=set)
    duplicate_frees: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)
    peak: Counter[int] = field(default_factory=Counter)  # by cache


def pair(events: Sequence[Event]) -> Outcome:
    out = Outcome()
    live: dict[int, int] = {}
    last_free: dict[int, int] = {}
    level: Counter[int] = Counter()
    order = sorted(range(len(events)), key=lambda i: events[i].ts)
    for at in _frees_first(events, order):
        event = events[at]
        before = live.pop(event.ptr, None)
        if before is not None:
            level[events[before].cache] -= 1
        if event.is_free:
            _free(out, events, at, before, last_free)
            last_free[event.ptr] = at
            continue
        if before is not None:
            same = twice(events[before], event)
            (out.duplicates if same else out.inferred).add((before, at))
        live[event.ptr] = at
        level[event.cache] += 1
        out.peak[event.cache] = max(out.peak[event.cache], level[event.cache])
    out.live = set(live.values())
    return out


def _frees_first(events: Sequence[Event], order: list[int]) -> list[int]:
    """A free and an allocation of one address and time: the free came first.

    Where any such pair stands in doubt all frees of that time come first; elsewhere the order of
    recording stays (it does not matter for pairing, only for which of two levels is a peak).
    """
    doubtful = {
        events[i].ts
        for n, i in enumerate(order)
        for j in order[n + 1 :]
        if events[i].ts == events[j].ts and events[i].ptr == events[j].ptr
    }
    return sorted(order, key=lambda i: (events[i].ts, events[i].ts in doubtful and not events[i].is_free))


def _free(
    out: Outcome, events: Sequence[Event], at: int, before: int | None, last_free: dict[int, int]
) -> None:
    ptr = events[at].ptr
    if before is not None:
        out.freed.add((before, at))
    elif ptr not in last_free:
        out.old_frees.add(at)
    elif twice(events[last_free[ptr]], events[at]):
        out.duplicate_frees.add(at)
    else:
        out.second_frees.add(at)


def twice(a: Event, b: Event) -> bool:
    """Whether two adjacent events of one sort at one address are one event, recorded twice."""
    if b.ts - a.ts >= 10_000 or a.tid != b.tid:
        return False
    large = a.flags & b.flags & Flag.LARGE and a.bytes_req == b.bytes_req and not a.is_free
    twin = b.flags & Flag.RECOVERED and (a.kind, a.call_site, a.cpu) == (b.kind, b.call_site, b.cpu)
    return bool(large or twin)
