# SPDX-License-Identifier: Apache-2.0
"""Which addresses belong to a sample of one in N, by the hash of bpf/sample.h.

The samples are nested: the sample of 2 N is a part of that of N.  So a recording whose sample became smaller
(record --budget) is read as if it had been so from the beginning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.format.batch import UInt64

_FIRST, _SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
COARSEST_SAMPLE = 1 << 16  # the largest N


def in_sample(ptr: UInt64, one_in: int) -> NDArray[np.bool_]:
    """Whether each address, shape (n,), is in the sample of one in `one_in`, a power of two."""
    kept: NDArray[np.bool_] = address_hash(ptr) & np.uint64(one_in - 1) == 0
    return kept


def address_hash(ptr: UInt64) -> UInt64:
    """24 bits of the hash of each address, uint64 of shape (n,); a sample is chosen by the lowest ones."""
    mixed = (ptr ^ ptr >> np.uint64(29)) * _FIRST
    mixed = (mixed ^ mixed >> np.uint64(33)) * _SECOND
    shifted: UInt64 = mixed >> np.uint64(40)
    return shifted


def sampled_one_in(options: dict[str, Any]) -> int:
    """N by a manifest's options; 1 if everything was recorded, or if the option is not a valid N."""
    number = options.get("sample")
    if type(number) is not int or not 1 <= number <= COARSEST_SAMPLE or number & (number - 1):
        return 1
    return number
