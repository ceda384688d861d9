# SPDX-License-Identifier: Apache-2.0
"""How fast the load's CPU is at a moment, taken out of what is measured then.

A virtual CPU has a pace of its own: the same loop takes 630 or 1,050 ns, for seconds at a time,
as whatever shares the core comes and goes.  Each slice of a load carries a yardstick, the time of
a system call that no tracer touches, measured within the same milliseconds.  What the load alone
would have taken in a slice is what it took in those slices without tracer whose yardstick was
nearest; a tracer's slice is expressed as a multiple of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Slices = np.ndarray[Any, np.dtype[np.float64]]  # shape (n, 2): ns per operation, ns of the yardstick

_NEIGHBOURS = 40


class Pace:
    """The slices of the load alone, against which all others are held."""

    def __init__(self) -> None:
        self._alone: list[Slices] = []

    def alone(self, slices: Slices) -> None:
        """Take slices without any tracer."""
        self._alone.append(slices)

    @property
    def ns_per_operation(self) -> float:
        """What an operation of the load alone usually takes."""
        return float(np.median(np.concatenate(self._alone)[:, 0]))

    def added(self, slices: Slices) -> float:
        """Nanoseconds that a tracer added to an operation, at the CPU's usual pace."""
        times = float(np.median(slices[:, 0] / self._expected(slices[:, 1])))
        return (times - 1) * self.ns_per_operation

    def _expected(self, yardstick: Slices) -> Slices:
        """What the load alone takes when the yardstick takes so long: a median of neighbours."""
        known = np.concatenate(self._alone)
        known = known[np.argsort(known[:, 1])]
        width = min(_NEIGHBOURS, len(known))
        first = np.searchsorted(known[:, 1], yardstick) - width // 2
        first = np.clip(first, 0, len(known) - width)
        return np.asarray(np.median(known[first[:, None] + np.arange(width), 0], axis=1))
