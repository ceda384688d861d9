# SPDX-License-Identifier: Apache-2.0
"""--budget: which step is taken for which cost, how it is measured, and how what came before is thinned."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.capture import budget
from slabtrace.capture.budget import Settings
from slabtrace.trace.format.sample import in_sample
from slabtrace.trace.manifest import Manifest, Step
from tests.unit.synthetic import START, alloc, free, page_end, write_trace


def test_stacks_go_first_then_as_many_addresses_as_it_takes() -> None:
    assert Settings(True, 1).cheaper(0.04, 0.02, None) == Settings(False, 1)
    assert Settings(True, 1).cheaper(0.041, 0.02, None) == Settings(False, 4)  # far above: both at once
    assert Settings(True, 8).cheaper(0.5, 0.02, 0.5) == Settings(
        False, 256
    )  # stacks alone may have saved nothing
    assert Settings(False, 1).cheaper(0.04, 0.02, None) == Settings(False, 4)  # 2 would leave no room
    assert Settings(False, 4).cheaper(0.07, 0.02, None) == Settings(False, 16)


def test_what_saves_nothing_is_not_done_again() -> None:
    saved, not_saved = (
        Settings(False, 4).cheaper(0.05, 0.02, 0.09),
        Settings(False, 4).cheaper(0.08, 0.02, 0.09),
    )
    assert saved == Settings(False, 16)
    assert not_saved == Settings(False, 4)


def test_a_sample_has_an_end() -> None:
    assert Settings(False, 1 << 16).cheaper(0.9, 0.01, 5.0) == Settings(False, 1 << 16)


def test_cost_is_run_time_and_calls_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(1000, 10), (1_001_000, 5010)])
    clock = iter([0, 10_000_000])
    monkeypatch.setattr(budget, "run_time_counted", lambda: __import__("contextlib").nullcontext())
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    share = budget.measured(lambda: next(times), lambda seconds: None)
    assert share == pytest.approx((1_000_000 + 5000 * budget.CALL_NS) / 10_000_000)


def test_samples_are_nested_and_as_large_as_they_say() -> None:
    ptr = np.uint64(0xFFFF888100000000) + np.arange(1 << 17, dtype=np.uint64) * np.uint64(64)
    before = np.ones(len(ptr), bool)
    for one_in in (2, 4, 16, 256):
        kept = in_sample(ptr, one_in)
        assert not (kept & ~before).any()
        expected = len(ptr) / one_in
        assert abs(kept.sum() - expected) < 5 * expected**0.5
        before = kept


def test_what_came_before_a_step_is_read_as_if_it_had_been_sampled_so_from_the_beginning(
    tmp_path: Path,
) -> None:
    """997 objects stay, allocated before the step; after it only those of the coarser sample are freed."""
    addresses = [0x10000 + 64 * number for number in range(997)]
    sampled = in_sample(np.array(addresses, np.uint64), 4).tolist()
    events = [alloc(number + 1, ptr) for number, ptr in enumerate(addresses)]
    freed = [ptr for ptr, mine in zip(addresses, sampled, strict=True) if mine][:101]
    events += [page_end(4000, 0x900000, 4096)]
    events += [free(5000 + number, ptr) for number, ptr in enumerate(freed)]
    step = Step(START + 4500, one_in=4)
    manifest = Manifest(status="complete", options={"sample": 4}, steps=[step])
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", events, manifest=manifest))
    (group,) = trace.leaks().to_dict("records")
    assert (group["allocated"], group["freed"]) == (sum(sampled), 101)
    assert group["outstanding_estimate"] == 4 * (sum(sampled) - 101)
    assert abs(group["outstanding_estimate"] - (997 - 101 * 4)) <= 2 * group["outstanding_error"]
    assert trace.completeness().page_ends == 1
    assert "one in 4 addresses" in trace.completeness().verdict


def test_counts_from_before_a_step_are_scaled(tmp_path: Path) -> None:
    row = {"begin_ns": START, "end_ns": START + 10, "site": 0, "lifetime_bin": 20, "objects": 400, "moved": 0}
    later = {**row, "begin_ns": START + 10, "end_ns": START + 20, "objects": 7}
    steps = [Step(START + 10, one_in=2), Step(START + 15, one_in=8, before=2)]
    options = {"mode": "survivors", "threshold_s": 1.0, "sample": 8}
    manifest = Manifest(status="complete", options=options, steps=steps)
    trace = slabtrace.open(
        write_trace(tmp_path / "t.slab", [alloc(1, 0x40)], {"counted": [row, later]}, manifest=manifest)
    )
    assert trace.completeness().counted == 400 // 8 + 7


@pytest.mark.parametrize("options", [{"sample": 3}, {"sample": "4"}, {"sample": -4}, {"sample": 1 << 40}, {}])
def test_a_sample_that_cannot_be_is_none(options: dict[str, object]) -> None:
    assert Manifest(options=options).sampled_one_in == 1
