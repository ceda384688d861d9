# SPDX-License-Identifier: Apache-2.0
"""A slow and simple pairing, event by event with dictionaries, to compare the real one with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from slabtrace.trace.format.schema import Flag, Kind
from tests.unit.synthetic import Event

# A free that is recorded twice: (first kind, second kind).
GOES_ON = {
    (Kind.KFREE_RCU, Kind.KFREE),
    (Kind.KFREE_RCU, Kind.BULK_FREE),
    (Kind.NOLOCK_FREE, Kind.KFREE_RCU),
    (Kind.WRONG_CACHE_FREE, Kind.CACHE_FREE),
    (Kind.WRONG_CACHE_FREE, Kind.BULK_FREE),
}


@dataclass
class Outcome:
    """The result of pairing; events are positions in the given sequence."""

    freed: set[tuple[int, int]] = field(default_factory=set)
    inferred: set[tuple[int, int]] = field(default_factory=set)
    page_ended: set[tuple[int, int]] = field(default_factory=set)  # (allocation, end of its page)
    duplicates: set[tuple[int, int]] = field(default_factory=set)  # of allocations: (first, second)
    old_frees: set[int] = field(default_factory=set)
    second_frees: set[int] = field(default_factory=set)
    duplicate_frees: set[int] = field(default_factory=set)
    completions: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)
    peak: Counter[int] = field(default_factory=Counter)  # by cache
    # by cache: what was live at the peak, including its last allocation
    at_peak: dict[int, list[int]] = field(default_factory=dict, compare=False)


class Reference:
    """The state of pairing after each event."""

    def __init__(self, events: Sequence[Event], free_traced_after: bool, preemptible: bool) -> None:
        self.events = events
        self.preemptible = preemptible
        self.late_ns = 10_000 if free_traced_after else 0
        self.order = _frees_first(events)
        if free_traced_after:
            _put_late_frees_back(events, self.order)
        self.out = Outcome()
        self.live: dict[int, int] = {}
        self.last_free: dict[int, int] = {}  # by address: the free or the end of the page that freed it
        self.level: Counter[int] = Counter()

    def run(self) -> Outcome:
        for step, at in enumerate(self.order):
            event = self.events[at]
            if event.kind == Kind.PAGE_END:
                self._page_end(step, at)
            elif event.is_free:
                self._free(at)
            else:
                self._alloc(at)
        self.out.live = set(self.live.values())
        return self.out

    def _gone(self, ptr: int) -> int | None:
        before = self.live.pop(ptr, None)
        if before is not None:
            self.level[self.events[before].cache] -= 1
        return before

    def _alloc(self, at: int) -> None:
        event = self.events[at]
        before = self._gone(event.ptr)
        if before is not None:
            same = twice(self.events[before], event, self.preemptible)
            (self.out.duplicates if same else self.out.inferred).add((before, at))
        self.live[event.ptr] = at
        self.level[event.cache] += 1
        if self.level[event.cache] > self.out.peak[event.cache]:
            self.out.peak[event.cache] = self.level[event.cache]
            mine = [each for each in self.live.values() if self.events[each].cache == event.cache]
            self.out.at_peak[event.cache] = mine

    def _free(self, at: int) -> None:
        event = self.events[at]
        before = self._gone(event.ptr)
        last = self.last_free.get(event.ptr)
        self.last_free[event.ptr] = at
        if before is not None:
            self.out.freed.add((before, at))
        elif last is None:
            self.out.old_frees.add(at)
        elif twice(self.events[last], event, self.preemptible):
            self.out.duplicate_frees.add(at)
        elif (self.events[last].kind, event.kind) in GOES_ON:
            self.out.completions.add(at)
        else:
            self.out.second_frees.add(at)

    def _page_end(self, step: int, at: int) -> None:
        page = self.events[at]
        for ptr, before in list(self.live.items()):
            inside = page.ptr <= ptr < page.ptr + page.bytes_alloc
            if inside and self.events[before].ts < page.ts and self._lives_on(step, ptr, page.ts):
                self._gone(ptr)
                self.last_free[ptr] = at
                self.out.page_ended.add((before, at))

    def _lives_on(self, step: int, ptr: int, ts: int) -> bool:
        """Whether the next event at the object's address is after `ts`, and not a late free."""
        later = (self.events[at] for at in self.order[step + 1 :])
        then = next((e for e in later if e.ptr == ptr and e.kind != Kind.PAGE_END), None)
        if then is None:
            return True
        return then.ts > ts and not (then.kind == Kind.CACHE_FREE and then.ts - ts < self.late_ns)


def pair(events: Sequence[Event], free_traced_after: bool = False, preemptible: bool = False) -> Outcome:
    return Reference(events, free_traced_after, preemptible).run()


def _put_late_frees_back(events: Sequence[Event], order: list[int]) -> None:
    """Reorder alloc, alloc on another CPU, kmem_cache_free within 10 us: the free was before the second."""
    last: dict[int, Event] = {}  # by address
    step = 0
    while step < len(order):
        event = events[order[step]]
        if event.kind == Kind.PAGE_END:
            step += 1
            continue
        before = last.get(event.ptr)
        if not event.is_free and before and not before.is_free and not twice(before, event):
            ahead = [s for s in range(step + 1, len(order)) if events[order[s]].ptr == event.ptr]
            ahead = [s for s in ahead if events[order[s]].kind != Kind.PAGE_END]
            then = events[order[ahead[0]]] if ahead else None
            if (
                then
                and then.kind == Kind.CACHE_FREE
                and then.cpu != event.cpu
                and then.ts - event.ts < 10_000
            ):
                order.insert(step, order.pop(ahead[0]))
        last[event.ptr] = events[order[step]]
        step += 1


def _frees_first(events: Sequence[Event]) -> list[int]:
    """Order of events by time; at the same address and time, a free comes before an allocation.

    If a time has any such pair, all its frees come first.  Otherwise the recorded order stays: it does
    not matter for pairing, only for which of two levels is a peak.
    """
    order = sorted(range(len(events)), key=lambda i: events[i].ts)
    unordered = {
        events[i].ts
        for n, i in enumerate(order)
        for j in order[n + 1 :]
        if events[i].ts == events[j].ts and events[i].ptr == events[j].ptr
    }
    return sorted(order, key=lambda i: (events[i].ts, events[i].ts in unordered and not events[i].is_free))


def twice(a: Event, b: Event, preemptible: bool = False) -> bool:
    """Whether two adjacent allocations, or two frees, of an address are one event that was recorded twice."""
    if a.tid != b.tid:
        return False
    apart = b.ts - a.ts
    if a.flags & b.flags & Flag.LARGE and a.bytes_req == b.bytes_req and not a.is_free and apart < 10_000_000:
        return True
    if (a.kind, a.call_site) != (b.kind, b.call_site):
        return False
    if a.flags & Flag.RECOVERED or not b.flags & Flag.RECOVERED:
        return False
    if a.tid == 0:
        return a.cpu == b.cpu and apart < 10_000_000
    return apart < (1_000_000_000 if preemptible else 10_000_000)
