# SPDX-License-Identifier: Apache-2.0
"""Which hosts have an issue, which certainly do not, and of which it cannot be said.

A trace has the issue if it is a suspect there.  It is clear if it would have shown the issue at the rate
that half of the affected hosts have.  The newest trace that is one of both decides for its host, among
those of the newest boot.

Example: an issue with 50 objects a day on half of its hosts.

    host   traces, oldest first                                              the host is
    a      suspect; 20 s long                                                affected
    b      clear (finds 10 a day); filtered by --cache of other caches       clear
    c      would find 200 a day and more                                     unknown: too coarse
    d      suspect; clear                                                    clear, it went away
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from slabtrace.fleet.merging.hosts import Host
from slabtrace.fleet.merging.merged import Grown, Row

AFFECTED, CLEAR = "affected", "clear"
GROWING, YOUNG, SHORT, COARSE = (
    "growing, undecided",
    "too young to judge",
    "recorded too briefly",
    "too coarse",
)
FILTERED, NO_STACKS, DAMAGED = "filtered", "recorded without stacks", "damaged"
CUT, OTHER_HOST = "digest cut", "not comparable between hosts"


@dataclass
class Issue:
    """All that grows under one signature, in all traces: (trace, finding)."""

    signature: str
    found: list[tuple[Row, Grown]] = field(default_factory=list)

    @property
    def suspects(self) -> list[tuple[Row, Grown]]:
        """Those that are suspects."""
        return [each for each in self.found if each[1].suspect]

    @property
    def rate(self) -> int:
        """Objects a day that half of the suspects have at least."""
        rates = sorted(grown.rate for _, grown in self.suspects)
        return rates[len(rates) // 2] if rates else 0

    @property
    def caches(self) -> tuple[str, ...]:
        """What the cache is called."""
        return tuple(sorted({name for _, each in self.found for name in (each.family, each.cache)}))


@dataclass
class Presence:
    """An issue over the hosts.  `states`: for each host AFFECTED, CLEAR, or why it is not known.

    `deciding`: the finding on each affected host, with its trace, by the host's place in `hosts`.
    """

    issue: Issue
    states: list[str]
    deciding: dict[int, tuple[Row, Grown]]
    went_away: int

    def hosts(self, state: str) -> list[int]:
        """Places of the hosts in this state."""
        return [at for at, each in enumerate(self.states) if each == state]

    def unknown(self) -> Counter[str]:
        """Of how many hosts it is not known, by why."""
        return Counter(each for each in self.states if each not in (AFFECTED, CLEAR))


def issues_of(rows: Iterable[Row]) -> list[Issue]:
    """All issues that are a suspect in some trace, by signature."""
    found: dict[str, Issue] = {}
    for row in rows:
        for grown in row.grown:
            found.setdefault(grown.signature, Issue(grown.signature)).found.append((row, grown))
    return [found[name] for name in sorted(found) if found[name].suspects]


def presence(issue: Issue, hosts: Sequence[Host]) -> Presence:
    """Where the issue is."""
    findings: dict[str, Grown] = {}
    for row, grown in issue.found:
        name = row.facts["fingerprint"]
        findings[name] = _together(findings[name], grown) if name in findings else grown
    local = any(grown.local for _, grown in issue.found)
    found = Presence(issue, [], {}, 0)
    rate, caches = issue.rate, issue.caches
    for at, host in enumerate(hosts):
        states = [
            _state(row, findings.get(row.facts["fingerprint"]), issue.signature, rate, caches, local)
            for row in host.newest
        ]
        telling = [
            (state, row) for state, row in zip(states, host.newest, strict=True) if state in (AFFECTED, CLEAR)
        ]
        state, row = telling[-1] if telling else (states[-1], host.row)
        found.states.append(state)
        if state == AFFECTED:
            found.deciding[at] = row, findings[row.facts["fingerprint"]]
        elif state == CLEAR:
            found.went_away += any(_had(row, findings) for boot in host.boots for row in boot)
    return found


def _together(one: Grown, other: Grown) -> Grown:
    """Two findings of one issue in one trace, with other stacks: the sum of both if both are suspects."""
    first, second = sorted((one, other), key=lambda each: (not each.suspect, -each.low, each))
    if first.suspect != second.suspect:
        return first
    names = ("growth", "low", "rate", "bytes")
    sums = {name: getattr(first, name) + getattr(second, name) for name in names}
    return first._replace(sure=first.sure and second.sure, **sums)


def _had(row: Row, findings: dict[str, Grown]) -> bool:
    grown = findings.get(row.facts["fingerprint"])
    return grown is not None and grown.suspect


def _state(
    row: Row, grown: Grown | None, signature: str, rate: int, caches: tuple[str, ...], local: bool
) -> str:
    if grown is not None:
        return AFFECTED if grown.suspect else GROWING
    if local:
        return OTHER_HOST
    facts = row.facts
    if facts["partial"] or not _recorded(facts["cache_globs"], caches):
        return FILTERED
    if facts["stacks"] == "none":
        return NO_STACKS
    if facts["damage"] and facts["status"] == "complete":
        return DAMAGED
    if facts["least_per_day"] is None:
        return SHORT
    if signature in row.young:
        return YOUNG
    if facts["least_per_day"] > rate:
        return COARSE
    return CUT if facts["findings_left_out"] else CLEAR


@lru_cache(maxsize=1 << 12)
def _recorded(globs: str, caches: tuple[str, ...]) -> bool:
    """Whether one of `caches` matches one of the patterns of --cache."""
    return not globs or any(fnmatchcase(name, glob) for glob in globs.split("\n") for name in caches)
