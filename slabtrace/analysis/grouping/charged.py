# SPDX-License-Identifier: Apache-2.0
"""Outstanding objects by the memory cgroup that they are charged to (pairing/charges.py).

It is known of what is outstanding alone.  What was freed has the number 0, which is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.charges import NOT_KNOWN, Charges
from slabtrace.trace.format.batch import EventBatch


class ChargedTo:
    """Numbers as those of whose.Whose; `live`: the outstanding objects."""

    def __init__(self, charges: Charges, live: EventBatch, by: str) -> None:
        self._charges, self.by = charges, by
        order = np.argsort(live.ptr, kind="stable")
        self._ptr, self._ts_ns = live.ptr[order], live.ts_ns[order]
        self._number = np.append(charges.of(live)[order].astype(np.int64) - NOT_KNOWN, 0)

    def numbers(self, events: EventBatch) -> NDArray[np.int64]:
        """To whom the object of each allocation is charged, shape (n,); 0 if it is not known."""
        if not len(self._ptr):
            return np.zeros(events.size, np.int64)
        at = np.minimum(np.searchsorted(self._ptr, events.ptr), len(self._ptr) - 1)
        same = (self._ptr[at] == events.ptr) & (self._ts_ns[at] == events.ts_ns)
        return self._number[np.where(same, at, -1)]  # -1: the last

    def text(self, number: int) -> str:
        """The path that a number stands for; empty if it is not known.  Hostile text: escape it."""
        return self._charges.text(number + NOT_KNOWN) if number > 0 else ""
