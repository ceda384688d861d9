# SPDX-License-Identifier: Apache-2.0
"""Compares slices of a load with and without a tracer, although the speed of the CPU changes.

The speed of a virtual CPU depends on what else uses the core: the same loop takes 630 or 1,050 ns,
for seconds at a time.  Each slice of a load also has a yardstick: the time of a system call that
no tracer sees, measured in the same milliseconds.  The expected time of a slice is the median of
the slices without a tracer that have the nearest yardsticks.  The time of a slice with a tracer is
expressed as a multiple of the expected time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Slices = np.ndarray[Any, np.dtype[np.float64]]  # shape (n, 2): ns per operation, ns of the yardstick

_NEIGHBOURS = 40


class Pace:
    """The slices of the load alone, with which all others are compared."""

    def __init__(self) -> None:
        self._alone: list[Slices] = []

    def alone(self, slices: Slices) -> None:
        """Add slices that were measured without a tracer."""
        self._alone.append(slices)

    @property
    def ns_per_operation(self) -> float:
        """Median time of one operation of the load alone."""
        return float(np.median(np.concatenate(self._alone)[:, 0]))

    def added(self, slices: Slices) -> float:
        """Nanoseconds that a tracer added to an operation, at the CPU's usual speed."""
        times = float(np.median(slices[:, 0] / self._expected(slices[:, 1])))
        return (times - 1) * self.ns_per_operation

    def _expected(self, yardstick: Slices) -> Slices:
        """Expected time of the load alone for each yardstick, shape (n,): median of its nearest slices."""
        known = np.concatenate(self._alone)
        known = known[np.argsort(known[:, 1])]
        width = min(_NEIGHBOURS, len(known))
        first = np.searchsorted(known[:, 1], yardstick) - width // 2
        first = np.clip(first, 0, len(known) - width)
        return np.asarray(np.median(known[first[:, None] + np.arange(width), 0], axis=1))
