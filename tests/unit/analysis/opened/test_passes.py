# SPDX-License-Identifier: Apache-2.0
"""The number of passes over the events that the tables of a trace need."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.cli.filters import chooser
from tests.places import FIXTURES


def passes(made: Callable[[Trace], object]) -> int:
    """Complete passes that `made` needs: each reports once per batch and once at its end."""
    trace = slabtrace.open(FIXTURES / "slow-leak.slab")
    reported: list[int] = []
    trace.progress = reported.append
    made(trace)
    return len(reported) // (1 + sum(1 for _ in trace._recorded.reader.events()))


@pytest.mark.parametrize(
    ("made", "number"),
    [
        (lambda trace: trace.stat(), 1),
        (lambda trace: (trace.stat(), trace.completeness(), trace.stack_totals(), trace.arrivals()), 1),
        (lambda trace: (trace.leaks(), trace.stat(), trace.leaks(by="cache")), 1),
        (lambda trace: (trace.usage(), trace.caches(), trace.peaks(), trace.lifetime_histogram()), 1),
        (lambda trace: (trace.read_once(), trace.leaks(), trace.usage()), 1),
        (lambda trace: (trace.stat(), trace.leaks()), 2),
        (lambda trace: (trace.usage(10), trace.usage(20)), 2),
        (lambda trace: (trace.leaks(pid=[1]), trace.leaks()), 3),
        (lambda trace: chooser(trace, ["msg_msg*"])(trace.leaks()), 1),
    ],
)
def test_the_result_of_a_pass_is_reused(made: Callable[[Trace], object], number: int) -> None:
    assert passes(made) == number
