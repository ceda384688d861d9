# SPDX-License-Identifier: Apache-2.0
"""Which traces are of one host, and which of them is the newest.

A host is counted once, however many traces there are of it.  One boot has one boot_id; boots of one hostname
are one host's, unless two of them ran at the same time: then two hosts have one name.  Within a boot traces
are ordered by CLOCK_MONOTONIC, which no wrong clock disturbs; boots by the time of day.

Example: three boots named web, from when to when by the time of day.

    boot 1    10:00 to 12:00    web
    boot 2    12:05 to 15:00    web, after a reboot
    boot 3    11:00 to 14:00    web (2): it ran beside both
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from slabtrace.fleet.merging.merged import Row

TOLERANCE_S = 600  # boots of one host seem to overlap by so much where its clock was set meanwhile


@dataclass(frozen=True)
class Host:
    """`name`: the hostname; of several hosts of one name with a number.  `boots`: oldest first, each with
    its traces, oldest first.  `sure`: its boots are distinguished by boot_id.
    """

    name: str
    boots: tuple[tuple[Row, ...], ...]
    sure: bool

    @property
    def newest(self) -> tuple[Row, ...]:
        """The traces of the newest boot."""
        return self.boots[-1]

    @property
    def row(self) -> Row:
        """The newest trace."""
        return self.boots[-1][-1]


def hosts_of(rows: Sequence[Row]) -> list[Host]:
    """The hosts of all traces, by name."""
    named: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name, boot = row.facts["host"], row.facts["boot_id"]
        alone = not name and not boot  # redacted: nothing says which traces are of one host
        key = row.facts["fingerprint"] if alone else boot
        named[name or f"(unnamed {key[:12]})"][key].append(row)
    found = [host for name in sorted(named) for host in _of_one_name(name, named[name])]
    return sorted(found, key=lambda host: host.name)


def _of_one_name(name: str, boots: dict[str, list[Row]]) -> list[Host]:
    """The hosts called `name`: each takes, in order of time, the boots that begin after its last one."""
    sure = "" not in boots
    ordered = sorted((tuple(sorted(each, key=_in_boot)) for each in boots.values()), key=_when)
    chains: list[list[tuple[Row, ...]]] = []
    for boot in ordered:
        begin, _, _ = _when(boot)
        free = [chain for chain in chains if _when(chain[-1])[1] <= begin + TOLERANCE_S]
        if free:
            min(free, key=lambda chain: _when(chain[-1])).append(boot)
        else:
            chains.append([boot])
    names = [name if number == 1 else f"{name} ({number})" for number in range(1, len(chains) + 1)]
    return [Host(each, tuple(chain), sure) for each, chain in zip(names, chains, strict=True)]


def _in_boot(row: Row) -> tuple[int, int, str]:
    facts = row.facts
    return facts["end_ns"], facts["part"] or 0, facts["fingerprint"]


def _when(boot: tuple[Row, ...]) -> tuple[int, int, str]:
    """From when to when a boot was seen, s, and what distinguishes it."""
    begin = min(row.facts["begin_s"] for row in boot)
    return begin, max(row.facts["end_s"] for row in boot), boot[0].facts["fingerprint"]
