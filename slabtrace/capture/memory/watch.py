# SPDX-License-Identifier: Apache-2.0
"""A thread that reads the counters of memory while recording, so that no file of /proc delays the rings.

Each counter is stored when it changed: the first sample is whole, and so is the last.  Samples are handed
over a few at a time, because an Arrow batch of one sample has as many bytes of overhead as of numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from slabtrace.capture.memory.sampler import MemorySampler
from slabtrace.capture.process.privileges import reduce

SAMPLE_S = 1.0
CLOSE_S = 5.0  # to wait for a last sample
TOGETHER_S = 8.0  # of samples; a killed recorder loses so much of them at most

Rows = dict[str, list[Any]]  # columns of schema.MEMORY
Found = Callable[[Rows, dict[str, str]], None]


class MemoryWatch:
    """Samples each `sample_s` until closed, and hands over those of `together_s` at a time.

    `found` gets rows, and which files cannot be read and why; it is called in the thread.
    """

    def __init__(
        self,
        found: Found,
        sample_s: float = SAMPLE_S,
        together_s: float = TOGETHER_S,
        sampler: MemorySampler | None = None,
    ) -> None:
        self._found, self._sample_s, self._together_s = found, sample_s, together_s
        self._sampler = sampler or MemorySampler()
        self._rows: Rows = _no_rows()
        self._next_found = 0.0  # the first sample is handed over at once
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slabtrace-memory", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        reduce()
        self._sample(everything=True)
        while not self._done.wait(self._sample_s):
            self._sample()
        self._sample(everything=True)
        self._hand_over()

    def _sample(self, everything: bool = False) -> None:
        now_ns = time.monotonic_ns()
        counters = self._sampler.sample(everything)
        self._rows["ts_ns"] += [now_ns] * len(counters)
        self._rows["counter"] += list(counters)
        self._rows["value"] += list(counters.values())
        if now_ns / 1e9 >= self._next_found:
            self._hand_over()
            self._next_found = now_ns / 1e9 + self._together_s

    def _hand_over(self) -> None:
        rows, self._rows = self._rows, _no_rows()
        if rows["ts_ns"] or self._sampler.unread:
            self._found(rows, dict(self._sampler.unread))

    def close(self) -> None:
        """Take the last sample and end the thread: the recorder meanwhile goes on polling."""
        self._done.set()
        self._thread.join(CLOSE_S)


def _no_rows() -> Rows:
    return {"ts_ns": [], "counter": [], "value": []}
