# SPDX-License-Identifier: Apache-2.0
"""Percentiles of lifetimes that are counted by powers of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def percentile(lived: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """The lifetime (ns) that `share` of the objects of each row did not reach, shape (g,); NaN for none.

    `lived`: counts by octave, shape (g, octaves).  Within an octave it is interpolated on a logarithmic
    scale.
    """
    wanted = lived.sum(axis=1) * share
    running = np.cumsum(lived, axis=1)
    octave = (running < wanted[:, None]).sum(axis=1).clip(max=lived.shape[1] - 1)
    rows = np.arange(len(lived))
    inside = lived[rows, octave]
    part = (wanted - (running[rows, octave] - inside)) / np.maximum(inside, 1)
    found: NDArray[np.float64] = np.where(wanted > 0, 2.0 ** (octave + part), np.nan)
    return found
