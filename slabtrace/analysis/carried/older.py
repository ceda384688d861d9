# SPDX-License-Identifier: Apache-2.0
"""Frees of objects that are older than the series, as they are carried: one by one, or by stretch of time.

There are at most as many as there were objects when the series began.  If they are more than MOST_ROWS, those
of one site in one stretch of time become one row; the stretches are as short as that allows, a 64th of the
time at most.  Read back, the frees of a row lie evenly between its begin and its end.

Example: 3 frees at 10, 12 and 14 s become the row 10 s, 14 s, 3; read back they are at 10, 12 and 14 s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.arrays import plain

MOST_ROWS = 1 << 20
SHORTEST, LONGEST = 1 / 4096, 1 / 64  # of the time: the length of a stretch
MOST_FREES = 1 << 31  # in all rows: more than a machine has objects


class OlderRows(NamedTuple):
    """Rows, each of shape (r,): `frees` at `site`, the first at `begin_ns`, the last at `end_ns`."""

    begin_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    site: Positions
    frees: Counts

    @classmethod
    def of_table(cls, table: pa.Table, sites: int) -> OlderRows:
        """The carried table `older`; rows of unknown sites are left out, for sites.arrow may be cut."""
        columns = [plain(table.column(name)).astype(np.int64) for name in cls._fields]
        known = (columns[2] < sites) & (columns[3] > 0) & (columns[3] < MOST_FREES)
        return cls(*(each[known] for each in columns))

    def since(self, ts_ns: int) -> OlderRows:
        """Without what ended before `ts_ns`."""
        late = np.flatnonzero(self.end_ns >= ts_ns)
        return OlderRows(*(each[late] for each in self))

    def one_by_one(self) -> tuple[Positions, NDArray[np.int64]]:
        """(site, ts_ns) of each free, shape (m,)."""
        if int(self.frees.sum()) > MOST_FREES:  # a damaged table
            return np.empty(0, np.intp), np.empty(0, np.int64)
        row = np.repeat(np.arange(len(self.site)), self.frees)
        number = np.arange(len(row)) - np.repeat(np.cumsum(self.frees) - self.frees, self.frees)
        step = (self.end_ns - self.begin_ns) / np.maximum(self.frees - 1, 1)
        return self.site[row], self.begin_ns[row] + np.rint(number * step[row]).astype(np.int64)


def merged(
    before: OlderRows, site: Positions, ts_ns: NDArray[np.int64], length_ns: int, most: int = MOST_ROWS
) -> OlderRows:
    """The rows of earlier parts, and the frees of this one (`site`, `ts_ns`), as rows; about `most` at most.

    `length_ns`: how long the series has lasted.
    """
    new = OlderRows(ts_ns, ts_ns, site, np.ones(len(site), np.int64))
    rows = OlderRows(*(np.concatenate(each) for each in zip(before, new, strict=True)))
    stretch = max(round(SHORTEST * length_ns), 1)
    while len(rows.site) > most and stretch <= LONGEST * length_ns:
        rows = _by_stretch(rows, stretch)
        stretch *= 2
    return rows


def _by_stretch(rows: OlderRows, stretch_ns: int) -> OlderRows:
    """One row for each site and stretch of time in which rows begin."""
    order = np.lexsort((rows.begin_ns, rows.site))
    begin_ns, end_ns, site, frees = (each[order] for each in rows)
    stretch = begin_ns // stretch_ns
    first = np.flatnonzero(np.append(True, (np.diff(stretch) != 0) | (np.diff(site) != 0)))
    return OlderRows(
        begin_ns[first],
        np.maximum.reduceat(end_ns, first),
        site[first],
        np.add.reduceat(frees, first),
    )
