# SPDX-License-Identifier: Apache-2.0
"""Whether a number of bytes grows over time, or only goes up and down, or came once.

If it does not grow, each step between two equal parts of the time is as likely up as down (the test of signs
in statistics/balance.py, weighted by the steps' sizes).  That it still comes is asked as of objects
(statistics/ending.py).  The rate has the interval of a difference of what came and what went, in units of
the mean size of the step that a byte is in (statistics/rates.py).

Example: 16 steps of +1 MiB: p = 2^-16, it grows.  One of +16 MiB and 15 of 0: it came once, `retained`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slabtrace.analysis.memory.series import Times, Values
from slabtrace.analysis.statistics.balance import signed_sum_at_least
from slabtrace.analysis.statistics.discovery import stand_out
from slabtrace.analysis.statistics.dispersion import parts_filled
from slabtrace.analysis.statistics.ending import ended
from slabtrace.analysis.statistics.rates import Rate, of_difference

STEPS = 64  # equal parts of the time at most
LEAST_STEPS = 8  # fewer decide nothing
LEAST_FILLED = 4.0  # of 16 parts of the time: as of objects
KEPT = 0.5  # of its range: a change of so much stayed

GROWING, RETAINED, FLAT, SHRINKING = "growing", "retained", "flat", "shrinking"


class Growth(NamedTuple):
    """How bytes grew: the rate (B/s), p that chance alone made it, the least p that could have been."""

    rate: Rate
    p: float
    least_p: float
    goes_on: bool
    stayed: bool
    falls: bool


def growth(ts_ns: Times, values: Values) -> Growth | None:
    """How `values`, shape (n,), grew over the times; None if there are too few of them to say."""
    times, level = _evenly(ts_ns, values)
    if len(level) <= LEAST_STEPS:
        return None
    steps, length = np.diff(level), float(times[-1] - times[0]) / 1e9
    moved = np.abs(steps)
    total, net = float(moved.sum()), float(steps.sum())
    if not total or length <= 0:
        return Growth(Rate(0.0, 0.0, 0.0), 1.0, 1.0, goes_on=False, stayed=False, falls=False)
    lot = float(np.square(moved).sum()) / total
    rate = of_difference(float(steps[steps > 0].sum()), float(-steps[steps < 0].sum()), lot, length)
    weights = moved[moved > 0]
    p = signed_sum_at_least(weights, abs(net)) if net else 1.0
    stayed = abs(net) >= KEPT * float(level.max() - level.min())
    return Growth(rate, p, float(0.5 ** len(weights)), _goes_on(steps * np.sign(net), lot), stayed, net < 0)


def classes(found: list[Growth | None]) -> list[str]:
    """What each is called, "" where too little is known; what stands out among all tests is `growing`."""
    tested = [each for each in found if each is not None]
    p, least = (np.array([getattr(each, name) for each in tested]) for name in ("p", "least_p"))
    sure = iter(stand_out(p, least).tolist())
    return ["" if each is None else _class(each, next(sure)) for each in found]


def _class(found: Growth, sure: bool) -> str:
    if sure and found.goes_on:
        return SHRINKING if found.falls else GROWING
    return RETAINED if found.stayed and not found.falls else FLAT


def _goes_on(steps: Values, lot: float) -> bool:
    """Whether the growth came all along: the lots of it, each at the end of the step that completes it."""
    reached = np.maximum.accumulate(np.cumsum(steps))
    lots = max(int(reached[-1] / lot), 1)
    when = np.searchsorted(reached, np.arange(1, lots + 1) * (reached[-1] / lots) * (1 - 1e-9)) + 0.5
    return parts_filled(when, len(steps)) >= LEAST_FILLED and not ended(when, len(steps))


def _evenly(ts_ns: Times, values: Values) -> tuple[Times, Values]:
    """At most STEPS + 1 of the known values, evenly in time."""
    known = ~np.isnan(values)
    times, level = ts_ns[known], values[known]
    if len(times) <= STEPS + 1:
        return times, level
    wanted = np.linspace(times[0], times[-1], STEPS + 1)
    row = np.searchsorted(times, wanted, side="right") - 1
    return times[row], level[row]
