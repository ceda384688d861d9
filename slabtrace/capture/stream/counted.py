# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of bpf/counted.h: objects that were freed young, and are only counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.rings import SLOT_WORDS
from slabtrace.capture.stream.sites import SiteTable

KIND_BYTES = struct_dtype("counted.h", "kind_counts").itemsize
_FIRST_BIN = 2 * header_numbers("counted.h")["LEAST_OCTAVE"]


class Counted:
    """Reads the programs' counts, as rows of counted.arrow (trace.format.schema.COUNTED)."""

    def __init__(self, programs: Programs, cpus: int, kinds: int) -> None:
        slots = programs.mapped("kind_events", "<u8", kinds * SLOT_WORDS)
        self._kinds: Rows = slots.reshape(-1, SLOT_WORDS)
        dtype = struct_dtype("counted.h", "kind_counts")
        self._counts = programs.mapped("kind_counts", dtype, cpus * kinds).reshape(cpus, kinds)
        self._bins = np.zeros((kinds, len(self._counts["lifetimes"][0, 0])), np.uint64)
        self._moved = np.zeros(kinds, np.uint64)
        self._begin_ns = 0
        self.objects = 0  # counted since `start`

    def start(self, now_ns: int) -> None:
        """Count from here on."""
        self.take(now_ns, SiteTable())
        self.objects = 0

    def take(self, now_ns: int, sites: SiteTable) -> dict[str, Any]:
        """Columns for what was counted since the last call.  `sites` gives the kinds their site numbers."""
        known = np.flatnonzero(self._kinds.view(event_dtype()).reshape(-1)["kind"])
        bins = self._counts["lifetimes"][:, known].sum(axis=0)
        moved = self._counts["moved"][:, known].sum(axis=0)
        grown, grown_moved = bins - self._bins[known], moved - self._moved[known]
        self._bins[known], self._moved[known] = bins, moved
        begin_ns, self._begin_ns = self._begin_ns, now_ns
        self.objects += int(grown.sum())
        return self._columns(begin_ns, sites.intern(self._kinds[known]), grown, grown_moved)

    def _columns(
        self,
        begin_ns: int,
        site: NDArray[np.uint32],
        grown: NDArray[np.uint64],
        moved: NDArray[np.uint64],
    ) -> dict[str, Any]:
        kind, place = np.nonzero(grown)
        first = np.concatenate([[True], kind[1:] != kind[:-1]]) if len(kind) else kind.astype(bool)
        return {
            "begin_ns": np.full(len(kind), begin_ns),
            "end_ns": np.full(len(kind), self._begin_ns),
            "site": site[kind],
            "lifetime_bin": (place + _FIRST_BIN).astype(np.uint8),
            "objects": grown[kind, place],
            "moved": np.where(first, moved[kind], 0).astype(np.uint64),
        }
