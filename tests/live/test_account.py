# SPDX-License-Identifier: Apache-2.0
"""The account of memory names what took it: eight loads of known bytes, and cgroups.

No trace and no BPF program: the counters are sampled in this process, before and after.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slabtrace.analysis.memory.account import account
from slabtrace.analysis.memory.series import Series, from_samples
from slabtrace.analysis.memory.words import all_sentences, grown
from slabtrace.capture.memory import texts
from slabtrace.capture.memory.pipes import pipes
from slabtrace.capture.memory.sampler import MemorySampler
from slabtrace.capture.memory.sources import sources
from tests.live.conftest import PATIENCE_S
from tests.live.memory_loads import LOADS, MIB, Took, cgroups
from tests.places import ROOT

NEAR = 0.05  # of the bytes
NEEDED = 2048 * MIB  # available memory: nothing is pushed out while a load runs
OF_PROCESSES = ("user", "tmpfs", "hugepages")  # other processes of the machine change these meanwhile


@contextmanager
def taken(load: str) -> Iterator[Took]:
    """The load, in a process of its own, which has given all back when the block ends."""
    argv = [sys.executable, "-m", "tests.live.memory_loads", load]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield Took(**json.loads(process.stdout.readline()))
        process.stdin.close()
        process.wait(PATIENCE_S)


class Sampling:
    """Takes a whole sample each time; returns all so far, the first from before."""

    def __init__(self) -> None:
        self._sampler = MemorySampler([*sources(alone=True), pipes()])
        self._sampler.sample(everything=True)  # what reading takes itself is not the load's
        self.begin()

    def begin(self) -> None:
        """The first sample is one of now."""
        self._samples = [(0, self._sampler.sample(everything=True))]

    def __call__(self) -> Series:
        self._samples.append((len(self._samples) * 10**9, self._sampler.sample(everything=True)))
        return from_samples(self._samples)


@pytest.fixture
def sample() -> Sampling:
    return Sampling()


@pytest.mark.parametrize("load", LOADS)
def test_a_load_is_named_first_with_its_bytes(load: str, sample: Sampling) -> None:
    """Other processes may take as much at the same moment (perf its buffers): not three times."""
    if texts.meminfo(Path("/proc/meminfo").read_text())["meminfo.MemAvailable"] < NEEDED:
        pytest.skip(f"less than {NEEDED // MIB} MiB of memory are available")
    for _ in range(3):
        with taken(load) as took:
            series = sample()
        found = account(series)
        first = next(row for row in grown(found) if row["part"] in (took.part, *_kernels(row["part"])))
        rows = found[found["part"] == took.part]
        change = rows.loc[rows["item"] == took.item, "change"].iloc[0]
        if first["part"] == took.part and abs(change - took.bytes) <= NEAR * took.bytes:
            break
        sample.begin()
    assert first["part"] == took.part, all_sentences(found, series, [])
    assert abs(change - took.bytes) <= NEAR * took.bytes


def _kernels(part: str) -> tuple[str, ...]:
    return () if part in OF_PROCESSES else (part,)


def test_more_cgroups_are_said(sample: Sampling) -> None:
    with cgroups(503):
        series = sample()
    before, after = series.of("cgroups.memory") if "cgroups.memory" in series.counters else (0, 0)
    if not after:
        pytest.skip("this kernel has no /proc/cgroups")
    assert after - before == 504  # with the one above them
    found = account(series)
    slab = found[(found["part"] == "slab") & (found["item"] == "")]["change"].iloc[0]
    percpu = found[(found["part"] == "percpu") & (found["item"] == "")]["change"].iloc[0]
    assert slab > 0 and percpu > 0
