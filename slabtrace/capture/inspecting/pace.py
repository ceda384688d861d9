# SPDX-License-Identifier: Apache-2.0
"""How long reading may take, and how much of a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_S = 0.1  # so often it looks whether who waits hurries


class Pace:
    """At most `seconds` from now on, of which this thread computes at most the share `cpu` (0 to 1).

    No time is left once who waits `hurries`.
    """

    def __init__(self, seconds: float, cpu: float = 1.0, hurries: Callable[[], bool] = lambda: False) -> None:
        self._hurries = hurries
        self._begin, self._cpu_begin = time.monotonic(), time.thread_time()
        self._until, self._share = self._begin + seconds, cpu

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begin

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU time that this thread took since."""
        return time.thread_time() - self._cpu_begin

    def go_on(self) -> bool:
        """Whether there is time left; sleeps first where the share was exceeded."""
        ahead = self.cpu_s / self._share - self.elapsed_s
        if ahead > 0.002 and self._share < 1:
            wake = min(time.monotonic() + ahead, self._until)
            while (left := wake - time.monotonic()) > 0 and not self._hurries():
                time.sleep(min(left, _LOOK_S))
        return time.monotonic() < self._until and not self._hurries()
