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
    rows = []
    for line in text.splitlines():
        head, *rest = line.split(" : ")
        if line.startswith(("#", "slabinfo")) or len(rest) < 2:
            continue
        # a name may hold spaces: the last five words of the head are numbers
        name, active, total, size, per_slab, pages = head.rsplit(None, 5)
        slabdata = rest[1].split()
        numbers = (int(active), int(total), int(size), int(per_slab), int(pages), int(slabdata[2]))
        rows.append(SlabinfoRow(name.strip(), *numbers))
    return rows


class SlabinfoSampler:
    """Samples /proc/slabinfo.  After the first sample, only rows that changed are returned."""

    def __init__(self) -> None:
        self._last: dict[str, SlabinfoRow] = {}

    def sample(self, everything: bool = False) -> list[SlabinfoRow]:
        """Rows that changed since the last sample; with `everything` all.  [] if slabinfo cannot be read."""
        try:
            rows = parse(SLABINFO.read_text(errors="replace"))
        except OSError:
            return []
        changed = [row for row in rows if everything or self._last.get(row.name) != row]
        self._last = {row.name: row for row in rows}
        return changed

    @property
    def names(self) -> set[str]:
        """The names in the last sample."""
        return set(self._last)

    def unchanged(self) -> list[SlabinfoRow]:
        """One row of the last sample; [] if there is none."""
        return list(self._last.values())[:1]
