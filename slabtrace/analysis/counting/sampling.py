# SPDX-License-Identifier: Apache-2.0
"""Estimates from a sample of addresses (record --sample 1/N), with their errors.

Each address is in the sample with probability 1/N.  An outstanding object has one address: of k in the
sample, N k is the estimate, and N (N - 1) k estimates its variance (Horvitz and Thompson, Bernoulli
sampling). Allocations return to the same addresses, so their number is less certain.  Their variance is taken
from the differences between random GROUPS of the sampled addresses.  Errors are 1.96 standard deviations: the
true number lies within in 95 of 100 cases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Paired
from slabtrace.trace.format.sample import COARSEST_SAMPLE, address_hash

GROUPS = 16
_GROUP_SHIFT = np.uint64(COARSEST_SAMPLE.bit_length() - 1)  # the sample uses the bits of the hash below
_SIGMAS = 1.96


class SampledHits:
    """Counts allocations by group of addresses and site: `hits` has shape (GROUPS, s)."""

    def __init__(self, sites: int) -> None:
        self.hits: Counts = np.zeros((GROUPS, sites), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        ptr, site = paired.events.ptr[paired.allocs], paired.site[paired.allocs]
        group = (address_hash(ptr) >> _GROUP_SHIFT & np.uint64(GROUPS - 1)).astype(np.intp)
        cells = np.bincount(group * self.hits.shape[1] + site, minlength=self.hits.size)
        self.hits += cells.reshape(self.hits.shape)

    def errors(self, one_in: int, key: NDArray[Any]) -> dict[Any, int]:
        """The error of the estimated allocations, by the `key` of their sites (shape (s,))."""
        keys, member = np.unique(key, return_inverse=True)
        by_key = np.zeros((len(keys), GROUPS), np.float64)
        np.add.at(by_key, member.reshape(-1), self.hits.T)
        deviation = np.sqrt(by_key.var(axis=1, ddof=1) * GROUPS * (1 - 1 / one_in))
        return dict(
            zip(keys.tolist(), (_SIGMAS * one_in * deviation).round().astype(int).tolist(), strict=True)
        )


def with_estimates(frame: pd.DataFrame, one_in: int) -> pd.DataFrame:
    """`frame` (columns outstanding, bytes_alloc of these) with what they stand for.

    Adds outstanding_estimate, outstanding_error, bytes_estimate, bytes_error; the error of bytes as if all
    objects of a row had the same size.  Of a trace of everything, estimates are the numbers, errors 0.
    """
    objects, size = frame["outstanding"], frame["bytes_alloc"]
    spread = _SIGMAS * np.sqrt(objects * float(one_in) * (one_in - 1))
    share = spread / np.maximum(objects * one_in, 1)
    return frame.assign(
        outstanding_estimate=objects * one_in,
        outstanding_error=spread.round().astype("int64"),
        bytes_estimate=size * one_in,
        bytes_error=(size * one_in * share).round().astype("int64"),
    )
