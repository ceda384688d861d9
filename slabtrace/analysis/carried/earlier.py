# SPDX-License-Identifier: Apache-2.0
"""What earlier parts of a series counted, read back for the part that is judged.

So the part is judged over the whole series.  Objects that are outstanding come as events
(carried/events.arrow); here are the deaths, and the frees of objects that are older than the series.
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.carried.deaths import Deaths, first_of
from slabtrace.analysis.carried.older import OlderRows
from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.pairer import NONE
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import loaded
from slabtrace.trace.reading.reader import TraceReader


def uncompleted_frees(reader: TraceReader, sites: int) -> EventBatch:
    """The carried table `uncompleted`, sorted by ptr; rows of unknown sites are left out."""
    batches = reader.carried("uncompleted").combine_chunks().to_batches()
    if not batches:
        return NONE
    frees = loaded(batches[0])
    frees = frees.take(frees.site < sites)
    return frees.take(np.argsort(frees.ptr, kind="stable"))


class Earlier:
    """What the parts before that of `reader` counted, at s sites.

    `uncompleted`: their last frees that may be reported again (pairer.py).
    """

    def __init__(self, reader: TraceReader, sites: int) -> None:
        self._sites = sites
        self.uncompleted = uncompleted_frees(reader, sites)
        self.older = OlderRows.of_table(reader.carried("older"), sites)
        self.deaths = Deaths(sites)
        self.deaths.take(reader.carried("lived"), reader.carried("pairs"))

    def give(self, ages: Ages, older: OlderFrees, of_site: Positions | None = None) -> None:
        """Add it to `ages` and `older`.  `of_site`, shape (a,): where sites are divided, see Deaths.give."""
        self.deaths.give(ages, of_site)
        site, ts_ns = self.older.one_by_one()
        if of_site is not None:
            place = first_of(of_site, self._sites)[site]
            site, ts_ns = place[place >= 0], ts_ns[place >= 0]
        older.take(site, ts_ns)
