# SPDX-License-Identifier: Apache-2.0
"""How large the rings are: by CPUs online and possible, memory, and the largest map a kernel allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slabtrace.capture import options, sizing
from slabtrace.capture.kernel.features import LARGEST_CHARGED_MAP
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.sizing import ring_geometry
from slabtrace.errors import UsageError

GIB, MIB = 1 << 30, 1 << 20
Machine = tuple[int, int, int]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with (memory, CPUs online, CPUs possible)."""
    memory, online, possible = request.param
    for module in (sizing, options):
        monkeypatch.setattr(module, "usable_memory", lambda: memory)
    monkeypatch.setattr(sizing, "online_cpus", lambda: online)
    monkeypatch.setattr(sizing, "possible_cpus", lambda: possible)


def lane_mib(slots: int) -> float:
    """With twice as many repeats a slot takes 112 bytes; slots are a power of two."""
    return slots * 128 / MIB


@pytest.mark.parametrize(
    ("machine", "cpus", "mib"),
    [
        ((24 * GIB, 2, 2), 2, 64),
        ((8 * GIB, 4, 128), 9, 64),  # the example of sizing.py
        ((8 * GIB, 128, 128), 128, 4),
        ((512 * MIB, 2, 2), 2, 16),
        ((300 * MIB, 2, 64), 2, 8),  # 9 MiB, rounded down to a power of two
        ((64 * MIB, 64, 64), 64, 1),  # never less
    ],
    indirect=["machine"],
)
def test_by_default(machine: None, cpus: int, mib: int) -> None:
    found = ring_geometry(None)
    assert (found.cpus, lane_mib(found.task_slots)) == (cpus, mib)


@pytest.mark.parametrize("machine", [(300 * MIB, 2, 2)], indirect=True)
def test_a_small_machine_takes_less_than_a_quarter_of_its_memory(machine: None) -> None:
    maps = 2 * CaptureOptions().stack_buckets * options.STACK_BYTES
    assert ring_geometry(None).bytes + maps <= 300 * MIB / 4


@pytest.mark.parametrize("machine", [(512 * MIB, 2, 2)], indirect=True)
def test_a_guest_of_512_mib_takes_at_most_80(machine: None) -> None:
    maps = 2 * CaptureOptions().stack_buckets * options.STACK_BYTES
    assert ring_geometry(None).bytes + maps <= 80 * MIB


@pytest.mark.parametrize(
    ("machine", "cpus", "mib"),
    [((1024 * GIB, 47, 256), 89, 64), ((1024 * GIB, 127, 256), 127, 32)],
    indirect=["machine"],
)
def test_a_kernel_with_a_largest_map(machine: None, cpus: int, mib: int) -> None:
    """256 CPUs of 46 MiB of slots take 12 GiB.  CPUs to come are given up first, then half of the slots."""
    assert ring_geometry(None, repeats=0).bytes > LARGEST_CHARGED_MAP
    found = ring_geometry(None, largest_map=LARGEST_CHARGED_MAP)
    assert (found.cpus, lane_mib(found.task_slots)) == (cpus, mib)
    assert replace(found, repeats=0).bytes <= LARGEST_CHARGED_MAP


@pytest.mark.parametrize("machine", [(2 * GIB, 4, 128)], indirect=True)
@pytest.mark.parametrize("mib", [0, 257])
def test_a_buffer_that_is_not_possible(machine: None, mib: int) -> None:
    with pytest.raises(UsageError, match="each of 4 CPUs") as caught:
        ring_geometry(mib)
    assert "use 1 to 256" in str(caught.value.remedy)
    assert lane_mib(ring_geometry(256).task_slots) == 256
