# SPDX-License-Identifier: Apache-2.0
"""Frames of Trace.leaks() as `diff` and `check` need them, while leaks() lacks columns of findings.

To be deleted when Trace.findings is there and leaks() has rate_per_s, rate_low, rate_high, dispersion and
finding.  Until then a group is a finding of its own, and its rate is its growth by the size of an object.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

GROWTH = ("growth_bytes_per_s", "growth_low", "growth_high")
RATES = ("rate_per_s", "rate_low", "rate_high")


def as_findings(groups: pd.DataFrame, one_in: int = 1) -> pd.DataFrame:
    """Rows of Trace.leaks() of a sample of `one_in`, as rows of Trace.findings()."""
    scaled = {name: groups[name] * one_in for name in GROWTH}
    return groups.assign(objects=groups["outstanding"], next=None, **scaled)


def with_rates(groups: pd.DataFrame, one_in: int = 1) -> pd.DataFrame:
    """Rows of Trace.leaks() of a sample of `one_in`, with the rates for all objects.

    The interval of a slope is too narrow for a rate: it is at least that of as many objects at random.
    """
    if "rate_per_s" in groups:
        return groups
    objects = groups["outstanding"].clip(lower=1)
    size = groups["bytes_alloc"] / objects
    growth = {name: groups[name] * one_in for name in GROWTH}
    rate, low, high = (growth[name] / size for name in GROWTH)
    error = 1.96 * rate.abs() / objects**0.5
    rates = (rate, np.minimum(low, rate - error), np.maximum(high, rate + error))
    return groups.assign(dispersion=1.0, finding=0, **growth, **dict(zip(RATES, rates, strict=True)))
