# SPDX-License-Identifier: Apache-2.0
"""--sample and --budget on the running kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slabtrace
from tests.live.conftest import Leaver, Recording, wait_for
from tests.live.test_exact_counts import groups_of

RecordLeaver = Callable[..., Leaver]
PIPES, OPEN = 503, 499


def test_a_sample_of_objects_is_whole_and_stands_for_all(record_leaver: RecordLeaver) -> None:
    """499 pipes stay open: the error given holds of 95 in 100 samples, five times as much of all."""
    leaver = record_leaver(0, 0, PIPES, OPEN, options=("--sample", "1/4", "--stacks", "none"))
    groups = [g for g in groups_of(leaver) if g["symbol"].startswith("alloc_pipe_info+")]
    assert len(groups) == 2
    for group in groups:
        assert group["outstanding_estimate"] == 4 * group["outstanding"]
        assert 0 < group["outstanding"] < OPEN
        assert abs(group["outstanding_estimate"] - OPEN) <= 2.5 * group["outstanding_error"]
        assert group["allocated"] - group["freed"] == group["outstanding"]
    trace = slabtrace.open(leaver.trace)
    assert trace.completeness().sampled_one_in == 4
    assert not trace.completeness().exact or "Sampled" in trace.completeness().verdict


def test_a_budget_that_is_far_exceeded_gives_up_stacks_and_most_addresses(
    start_recording: Callable[..., Recording], load: Callable[[], Any]
) -> None:
    """Under a load of pipes on every CPU, a thousandth of them is soon spent: far above, all goes at once."""
    load()
    recording = start_recording("--budget", "0.1%", "--stacks", "all")
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().steps)
    status, stderr = recording.end()
    assert status == 0, stderr
    first, *_ = recording.manifest().steps
    assert not first.stacks and first.one_in > 1 and first.before == 1
    assert first.programs > 0.001 and first.recorder > 0
    assert recording.manifest().sampled_one_in >= first.one_in
    assert (
        f"note: one in {first.one_in:,} addresses, no stacks from here on; the recording had cost" in stderr
    )
    trace = slabtrace.open(recording.trace)
    kept = trace.completeness()
    stored = recording.manifest().totals.events
    assert 0 < kept.events < stored  # what was recorded before is thinned
