# SPDX-License-Identifier: Apache-2.0
"""Whether a measured trigger holds: a size that stays above its limit, or growth that goes on.

Growth over the time T is above its limit if the increase over T is, and if each half of T has at least half
of that growth: so one step up (a burst, a cache that fills at a boot) is no growth.

Example: growth > 6 MiB/h for 10min, so at least 1 MiB in 10 min and 256 KiB in each half of them.

    MiB now, 5 min and 10 min ago    holds
    12.0   11.4   10.8               yes: 1.2 in all, 0.6 in each half
    12.0   12.0   10.0               no: nothing in the later half
    12.0   11.6   11.2               no: 0.8 in all
"""

from __future__ import annotations

from collections import deque

from slabtrace.watching.triggers import Trigger

SAMPLE_S = 10.0
MOST_SAMPLES = 240
QUIET_S = 600.0  # for so long, or for its own time, a trigger must not have held before it fires again
GAP_S = 120.0  # without a sample (the machine slept): what was before does not count


class Condition:
    """A trigger of a measure, and its last samples: at most MOST_SAMPLES."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self._samples: deque[tuple[float, float]] = deque()
        self._step_s = max(SAMPLE_S, trigger.for_s / (MOST_SAMPLES - 4))
        self._above_since: float | None = None
        self._free_since: float | None = None
        self._armed = True
        self._last_s: float | None = None

    def take(self, now_s: float, value: float) -> bool:
        """Take a sample (bytes); whether the trigger fires: it holds, and did not for a while before.

        A trigger that holds for days fires once; it fires again if it did not hold for QUIET_S or longer.
        """
        if self._last_s is not None and not 0 <= now_s - self._last_s <= max(GAP_S, 3 * self._step_s):
            self._samples.clear()
            self._above_since = None
        self._last_s = now_s
        held = self._grows(now_s, value) if self.trigger.growth else self._is_above(now_s, value)
        fires = held and self._armed
        if held:
            self._armed, self._free_since = False, None
        elif not self._armed:
            self._free_since = now_s if self._free_since is None else self._free_since
            self._armed = now_s - self._free_since >= max(self.trigger.for_s, QUIET_S)
        return fires

    def _is_above(self, now_s: float, value: float) -> bool:
        if value <= (self.trigger.limit or 0.0):
            self._above_since = None
            return False
        self._above_since = now_s if self._above_since is None else self._above_since
        return now_s - self._above_since >= self.trigger.for_s

    def _grows(self, now_s: float, value: float) -> bool:
        samples, for_s, limit = self._samples, self.trigger.for_s, self.trigger.limit or 0.0
        if not samples or now_s - samples[-1][0] >= self._step_s * 0.99:
            samples.append((now_s, value))
        while len(samples) > 1 and samples[1][0] <= now_s - for_s:
            samples.popleft()
        begin_s, begin = samples[0]
        if now_s - begin_s < for_s:
            return False
        middle_s, middle = min(samples, key=lambda each: abs(each[0] - (now_s + begin_s) / 2))
        whole = (value - begin) / (now_s - begin_s)
        halves = (
            (after - before) / max(until_s - from_s, 1e-9)
            for (from_s, before), (until_s, after) in (
                ((begin_s, begin), (middle_s, middle)),
                ((middle_s, middle), (now_s, value)),
            )
        )
        return whole > limit and min(halves) > limit / 2
