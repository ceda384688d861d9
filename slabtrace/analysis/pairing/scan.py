# SPDX-License-Identifier: Apache-2.0
"""One pass over the events: every paired chunk goes to any number of accumulators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from slabtrace.analysis.pairing.paired import Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.reading.ahead import ahead

AHEAD = 1  # chunks paired before they are counted; a chunk takes up to 130 MiB


class Accumulator(Protocol):
    """Sums up a trace chunk by chunk, in memory that does not grow with its length."""

    def add(self, paired: Paired) -> None:
        """Take the next chunk."""


def paired_chunks(batches: Iterable[EventBatch], pairer: Pairer) -> Iterator[Paired]:
    """Every chunk of `batches` as paired by `pairer`; last what the slabs list as free."""
    for batch in batches:
        paired = pairer.feed(batch)
        if paired is not None:
            yield paired
    for last in (pairer.flush(), pairer.apply_slab_states()):
        if last is not None:
            yield last


def scan(batches: Iterable[EventBatch], pairer: Pairer, accumulators: Iterable[Accumulator]) -> EventBatch:
    """Feed `accumulators` with all of `batches`; returns the objects still live, sorted by ptr."""
    every = list(accumulators)
    for paired in ahead(paired_chunks(batches, pairer), AHEAD, "slabtrace-pair"):
        for accumulator in every:
            accumulator.add(paired)
    return pairer.live
