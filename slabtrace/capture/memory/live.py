# SPDX-License-Identifier: Apache-2.0
"""`account --live`: the counters of this machine for some time, without a trace and without BPF."""

from __future__ import annotations

import time
from collections.abc import Callable

from slabtrace.capture.memory.pipes import pipes
from slabtrace.capture.memory.sampler import MemorySampler
from slabtrace.capture.memory.sources import sources
from slabtrace.capture.memory.texts import Counters

Samples = list[tuple[int, Counters]]
PARTS = 64  # of the time: as many steps as growth is judged by
PAUSE_S = (0.5, 60.0)  # between samples, at least and at most


def watch_memory(
    seconds: float,
    sampler: MemorySampler | None = None,
    progress: Callable[[float], None] = lambda share: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Samples, dict[str, str]]:
    """Samples over `seconds` (the first and the last are whole), and which files could not be read and why.

    `progress` is called with the share of the time that has passed.  Ctrl-C ends it earlier.
    """
    sampler = sampler or MemorySampler([*sources(alone=True), pipes()])
    pause = min(max(seconds / PARTS, PAUSE_S[0]), PAUSE_S[1])
    begin = clock()
    samples: Samples = [_sample(sampler, clock, everything=True)]
    try:
        while (left := begin + seconds - clock()) > 0:
            sleep(min(pause, left))
            progress(min((clock() - begin) / seconds, 1.0))
            samples.append(_sample(sampler, clock, everything=False))
    except KeyboardInterrupt:
        pass
    samples.append(_sample(sampler, clock, everything=True))
    return samples, sampler.unread


def _sample(sampler: MemorySampler, clock: Callable[[], float], everything: bool) -> tuple[int, Counters]:
    return int(clock() * 1e9), sampler.sample(everything)
