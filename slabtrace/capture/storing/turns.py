# SPDX-License-Identifier: Apache-2.0
"""Which slabs are read first when there may be no time for all of them.

A leak is small compared with a cache of dentries.  So caches with few slabs come first, and a big cache
gets its share of the time that is left; what remains of that time goes to the caches that were cut short.
Within a cache the slabs are read in an order of which each beginning is spread over all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", covariant=True)
_GOLDEN = (5**0.5 - 1) / 2


class Work(Protocol[T]):
    """Reading the slabs of one cache.  Its length is the number of those that were not read yet."""

    def __len__(self) -> int: ...

    def read(self, until: float) -> Iterator[T]:
        """Read slabs until then (time.monotonic)."""
        ...


def in_turns(work: Sequence[Work[T]], deadline: float) -> Iterator[T]:
    """Read all that can be read until the deadline (time.monotonic), the shortest work first."""
    left = sorted((each for each in work if len(each)), key=len)
    while left:
        for number, each in enumerate(left):
            now = time.monotonic()
            if now >= deadline:
                return
            yield from each.read(now + (deadline - now) / (len(left) - number))
        left = [each for each in left if len(each)]


def spread(count: int) -> NDArray[np.intp]:
    """The numbers below `count`, in an order of which each beginning is spread evenly over them.

    The multiples of the golden ratio, without their whole parts, lie evenly between 0 and 1.  The first m
    numbers are those whose multiple is below m / count, and these are evenly spaced (three distances).
    """
    return np.argsort(np.arange(count) * _GOLDEN % 1, kind="stable")
