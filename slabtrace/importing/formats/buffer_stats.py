# SPDX-License-Identifier: Apache-2.0
"""per_cpu/cpuN/stats of tracefs: how many events the buffer of each CPU lost, but not when.

What was overwritten ("overrun") is also in the header of `trace`, and in the LOST lines of `trace_pipe`; it
is counted once.  What was dropped while the buffer was full, or interrupted, is only here.

Example: the header says 55 of 70 events are there; cpu0/stats has an overrun of 15 and 3 dropped events.  15
and 3 events were lost, not 33.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from slabtrace.importing.formats.sources import opened
from slabtrace.importing.records import Facts, Lost

OVERRUN = "overrun"
_COUNT = re.compile(r"^(overrun|commit overrun|dropped events): (\d{1,18})\s*$", re.MULTILINE)
_CPU = re.compile(r"cpu(\d{1,4})(?!.*cpu\d)")
_ALWAYS = (1 << 62) - 1


def add_stats(paths: Sequence[Path], facts: Facts) -> None:
    """Note the losses in files of this form, after all events were read.

    Losses are known only if no CPU's file is missing.  Raises UsageError, OSError.
    """
    for path in paths:
        with opened(path) as file:
            lose_counted(file.read(4096).decode(errors="replace"), _cpu_of(path), facts)
    if len(paths) >= max(facts.cpus_declared, len(facts.cpus), 1):
        facts.losses_told = True


def lose_counted(stats: str, cpu: int, facts: Facts) -> None:
    """Note what the statistics of one CPU's buffer say, without what is known already."""
    counted = Counter({name: int(number) for name, number in _COUNT.findall(stats)})
    known = sum(lost.events for lost in facts.lost if lost.cpu == cpu)
    more = {**counted, OVERRUN: max(counted[OVERRUN] - known, 0)}
    for name, number in more.items():
        if number:
            facts.lose(Lost(0, _ALWAYS, cpu, number, f"{name}: {number}"))
    if facts.entries is not None:
        left, written = facts.entries
        facts.entries = left, max(written - more[OVERRUN], min(left, written))


def _cpu_of(path: Path) -> int:
    """The CPU, by the name of the file or of its folder; -1: neither says it."""
    found = _CPU.search(f"{path.absolute().parent.name}/{path.name}")
    return int(found[1]) if found else -1
