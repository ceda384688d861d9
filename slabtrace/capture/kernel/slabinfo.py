# SPDX-License-Identifier: Apache-2.0
"""The kernel's own count of slab objects, /proc/slabinfo: the use at the start, and a check of the trace.

It is not exact: free objects in a CPU's slab, in its partial slabs and in sheaves (parked objects) count
as active, so a count may change by a whole slab.  Merged caches have one line, with the name of the one
that was created first.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SLABINFO = Path("/proc/slabinfo")


class SlabinfoRow(NamedTuple):
    """One line, with the columns of trace.format.schema.SLABINFO except the time."""

    name: str
    active_objs: int
    num_objs: int
    objsize: int
    objperslab: int
    pagesperslab: int
    num_slabs: int


def parse(text: str) -> list[SlabinfoRow]:
    """Rows of a slabinfo text, version 2.1: name, 5 numbers, `: tunables …`, `: slabdata a n s`."""
    return [row for line in text.splitlines() if (row := _row(line)) is not None]


def _row(line: str) -> SlabinfoRow | None:
    head, *rest = line.split(" : ")
    if line.startswith(("#", "slabinfo")) or len(rest) < 2:
        return None
    # a name may hold spaces: the last five words of the head are numbers
    name, active, total, size, per_slab, pages = head.rsplit(None, 5)
    slabdata = rest[1].split()
    numbers = (int(active), int(total), int(size), int(per_slab), int(pages), int(slabdata[2]))
    return SlabinfoRow(name.strip(), *numbers)


class SlabinfoSampler:
    """Samples /proc/slabinfo.  After the first sample, only rows that changed are returned, and parsed."""

    def __init__(self) -> None:
        self._last: dict[str, SlabinfoRow | None] = {}  # by line

    def sample(self, everything: bool = False) -> list[SlabinfoRow]:
        """Rows that changed since the last sample; with `everything` all.  [] if slabinfo cannot be read."""
        try:
            lines = SLABINFO.read_text(errors="replace").splitlines()
        except OSError:
            return []
        before, last = self._last, {line: self._last.get(line) or _row(line) for line in lines}
        self._last = last
        return [row for line, row in last.items() if row is not None and (everything or line not in before)]

    @property
    def names(self) -> set[str]:
        """The names in the last sample."""
        return {row.name for row in self._last.values() if row is not None}

    def unchanged(self) -> list[SlabinfoRow]:
        """One row of the last sample; [] if there is none."""
        return [row for row in self._last.values() if row is not None][:1]
