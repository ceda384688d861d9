# SPDX-License-Identifier: Apache-2.0
"""What hosts may have in common: kernel build, release, system, architecture, labels, modules.

Attributes that the very same hosts have are one: a test of each of them would be one test, counted twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.fleet.merging.merged import Row

BUILD, RELEASE, SYSTEM, LABEL, MODULE, MACHINE, MEMORY = (
    "kernel build", "release", "system", "label", "module", "machine", "memory",
)  # fmt: skip
KINDS = (
    BUILD,
    RELEASE,
    SYSTEM,
    LABEL,
    MODULE,
    MACHINE,
    MEMORY,
)  # of several for the same hosts the first is named
MOST_VALUES = 2_000  # of one kind, those of most hosts; e.g. a label that differs on each host has many
LEAST_HOSTS = 2  # that have a value, and that lack it


class Attribute(NamedTuple):
    """`kind`: one of KINDS.  `value`: as people read it.  `hosts`, shape (n,): which have it.

    `also`: the others that the same hosts have.
    """

    kind: str
    value: str
    hosts: NDArray[np.bool_]
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As "kernel build 6.12.1 (0123456789ab)"."""
        return f"{self.kind} {self.value}"


def attributes_of(rows: Sequence[Row]) -> list[Attribute]:
    """The attributes of n hosts, each given by its newest trace, by kind and value."""
    having: dict[str, dict[str, list[int]]] = {kind: defaultdict(list) for kind in KINDS}
    for at, row in enumerate(rows):
        for kind, value in _of_host(row):
            having[kind][value].append(at)
    same: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for kind in KINDS:
        most = sorted(having[kind], key=lambda value: (-len(having[kind][value]), value))[:MOST_VALUES]
        for value in most:
            places = tuple(dict.fromkeys(having[kind][value]))
            if LEAST_HOSTS <= len(places) < len(rows) or (len(places) == 1 < len(rows) <= 2 * LEAST_HOSTS):
                same.setdefault(places, []).append((kind, value))
    return [_attribute(places, names, len(rows)) for places, names in same.items()]


def build_of(row: Row) -> str:
    """The kernel's build: its release, and the beginning of its build id."""
    facts = row.facts
    which = facts["build_id"][:12] or facts["kernel"]
    return f"{facts['release']} ({which})" if which else facts["release"]


def _attribute(places: tuple[int, ...], names: list[tuple[str, str]], number: int) -> Attribute:
    hosts = np.zeros(number, np.bool_)
    hosts[list(places)] = True
    (kind, value), *others = names
    return Attribute(kind, value, hosts, tuple(f"{each} {its}" for each, its in others[:8]))


def _of_host(row: Row) -> Iterator[tuple[str, str]]:
    facts = row.facts
    plain = {RELEASE: facts["release"], SYSTEM: facts["os"], MACHINE: facts["machine"]}
    yield BUILD, build_of(row)
    yield from ((kind, value) for kind, value in plain.items() if value)
    yield from ((LABEL, f"{key}={value}") for key, value in labels_of(row).items())
    yield from ((MODULE, name) for name in facts["modules"].split(" ") if name)
    if facts["memory_bytes"] > 0:
        yield MEMORY, f"of {1 << max(facts['memory_bytes'] - 1, 1).bit_length() >> 30} GiB or less"


def labels_of(row: Row) -> dict[str, str]:
    """The labels of the trace; what is no object of texts has none."""
    try:
        found = json.loads(row.facts["labels"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return (
        {key: value for key, value in found.items() if isinstance(value, str)}
        if isinstance(found, dict)
        else {}
    )
