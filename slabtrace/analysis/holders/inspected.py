# SPDX-License-Identifier: Apache-2.0
"""What the inspection at the end says of outstanding objects, and of findings by their owners.

Example: of a finding's 211 owners 50 were inspected. 49 are lost, and one changed while it was read: 98 %, so
the finding is lost.  Had 20 been held by processes, it would be "mixed".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slabtrace.analysis.freeing.paths import freed_unseen
from slabtrace.analysis.holders.classes import (
    CACHEABLE,
    CACHED,
    GONE,
    KERNEL,
    LOST,
    PROCESS,
    UNKNOWN,
    class_of,
    without_names,
)
from slabtrace.analysis.pairing.at_end import AtEnd
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Inspection

CODES = (GONE, UNKNOWN, CACHED, KERNEL, PROCESS, LOST)
NOT_INSPECTED = -1
MIXED = "mixed"
SHARE = 0.9  # of the owners that were inspected
MOST_HOLDERS = 3  # of a finding
_NO_COUNT = -1
# Call sites of elements: kernel/bpf/memalloc.c (from 6.1), kernel/bpf/syscall.c, bpf_local_storage.c.
_OF_BPF_MAPS = re.compile(r"(alloc_bulk|bpf_map_k[a-z_]+|bpf_selem_alloc|bpf_local_storage_alloc)\+")
Codes = NDArray[np.int8]


class Held(NamedTuple):
    """Of a finding: how many of its owners were inspected, and of these are lost; who holds them.

    `held`: one of CODES, "mixed", or "" where none was inspected; `held_by`: processes, most objects first;
    `never_lost`: that nothing points at them says nothing.
    """

    inspected: int = 0
    lost: int = 0
    held: str = ""
    held_by: tuple[str, ...] = ()
    never_lost: bool = False

    def not_lost(self) -> Held:
        """The same, where that nothing points at the owners says nothing."""
        return self.too_new()._replace(lost=0, never_lost=True)

    def too_new(self) -> Held:
        """The same, where somebody may be about to store the pointer."""
        return self._replace(held=UNKNOWN if self.held == LOST else self.held)


def never_lost(symbol: str, freed_by: Sequence[Mapping[str, Any]], freed: int) -> bool:
    """Whether objects of a finding may be without a holder and not lost.

    `symbol`, `freed_by`, `freed`: as in columns.FINDINGS.  What kfree_rcu has freed, unseen, waits for its
    grace period, and nothing that is searched points at it.  Nor does anything at elements of BPF maps: the
    memory of maps is not searched, because tracers keep addresses there.
    """
    return bool(_OF_BPF_MAPS.match(symbol)) or freed_unseen(freed_by, freed, least=1)


class Inspected:
    """The rows of objects.arrow, and by object what they say."""

    def __init__(self, table: pa.Table, account: Inspection | None) -> None:
        """`table`: columns as in schema.OBJECTS."""
        self._table = table
        self._code = np.append(_codes(table, bool(account and account.whole)), np.int8(NOT_INSPECTED))
        self._pinned = np.append(_pinned(table), np.int8(-1))
        self._at_end = AtEnd(plain(table.column("ptr")), plain(table.column("ts_ns")))

    def pinned(self, live: EventBatch, pinned: NDArray[np.int8]) -> NDArray[np.int8]:
        """`pinned` (pins.Pins), where that is not known by the reference counts of what was inspected."""
        counted = self._pinned[self._at_end.rows(live)]
        return np.where(pinned >= 0, pinned, counted).astype(np.int8)

    def of_findings(self, live: EventBatch, of_owner: Positions, findings: int) -> list[Held]:
        """What is known of each finding; `of_owner`, shape (n,): that each object owns, -1 for none."""
        rows = self._at_end.rows(live)
        known = np.flatnonzero((rows >= 0) & (of_owner >= 0))
        number = np.zeros((findings, len(CODES)), np.int64)
        np.add.at(number, (of_owner[known], self._code[rows[known]]), 1)
        of_process = known[self._code[rows[known]] == CODES.index(PROCESS)]
        holders = self._processes(of_owner[of_process], rows[of_process])
        return [_held(each, holders.get(at, ())) for at, each in enumerate(number.tolist())]

    def _processes(self, finding: Positions, rows: Positions) -> dict[int, tuple[str, ...]]:
        """The processes that hold the objects in these rows, by finding."""
        listed = self._table.column("holders").take(pa.array(rows)).to_pylist()
        counts: dict[int, Counter[str]] = {}
        for at, holders in zip(finding.tolist(), listed, strict=True):
            if holders:
                counts.setdefault(at, Counter())[without_names(str(holders[-1]))] += 1
        return {at: tuple(name for name, _ in each.most_common(MOST_HOLDERS)) for at, each in counts.items()}


def _codes(table: pa.Table, whole: bool) -> Codes:
    """The class of each row, by its number in CODES; rows that are alike in what it follows from at once."""
    use = plain(table.column("in_use").cast(pa.int8())).astype(np.int64)
    cacheable = plain(pc.is_in(table.column("kind"), pa.array([*CACHEABLE])).cast(pa.int8()))
    cached = cacheable.astype(bool) & (plain(table.column("references")) == 0)
    held = plain(table.column("held")).astype(np.int64)
    keys, which = np.unique(use * 512 + cached * 256 + held, return_inverse=True)
    codes = [CODES.index(_class(int(key), whole)) for key in keys.tolist()]
    found: Codes = np.array(codes, np.int8)[which] if len(keys) else np.empty(0, np.int8)
    return found


def _class(key: int, whole: bool) -> str:
    use, cached, held = key // 512, key // 256 % 2, key % 256
    kind, references = (CACHEABLE[0], 0) if cached else ("", None)
    return class_of(bool(use), kind, references, held, whole)


def _pinned(table: pa.Table) -> NDArray[np.int8]:
    """1 for a dentry or inode with references, 0 for one without, -1 for others."""
    cacheable = plain(pc.is_in(table.column("kind"), pa.array([*CACHEABLE])).cast(pa.int8())).astype(bool)
    in_use = plain(table.column("in_use").cast(pa.int8())).astype(bool)
    references = plain(table.column("references"))
    known = cacheable & in_use & (references > _NO_COUNT)
    return np.where(known, np.minimum(references, 1), -1).astype(np.int8)


def _held(counts: list[int], holders: tuple[str, ...]) -> Held:
    inspected = sum(counts) - counts[CODES.index(GONE)]
    if not inspected:
        return Held()
    most = max(range(1, len(CODES)), key=lambda code: counts[code])
    held = CODES[most] if counts[most] >= SHARE * inspected else MIXED
    return Held(inspected, counts[CODES.index(LOST)], held, holders)
