# SPDX-License-Identifier: Apache-2.0
"""How many slabs a second the check at the end reads, with this machine's CPUs and with 128.

Names that do not exist are looked up until the dentry cache has 100,000 slabs more; then the check reads all
slabs of the machine.  With 128 CPUs each cache's lists have the addresses of this machine's CPUs many times,
so that as much is read as on a machine of that size.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.table import print_table, spread
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.session import Session
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.storing import slab_check
from slabtrace.trace.format.batch import UInt64

SLABS, MANY_CPUS = 100_000, 128
DENTRIES_A_SLAB = 21


def main(quick: bool) -> None:
    """Print the table: rounds of both, in turn."""
    slabs = SLABS // 20 if quick else SLABS
    slab_check.LONGEST_S = 600.0
    rows: dict[int, list[float]] = {os.cpu_count() or 1: [], MANY_CPUS: []}
    with session() as it, negative_dentries(slabs * DENTRIES_A_SLAB):
        pages = slab_pages()
        for _ in range(1 if quick else 3):
            for cpus, seconds in rows.items():
                it.percpu = lambda cpus=cpus: ManyCpus(it, cpus)  # type: ignore[method-assign,misc]
                begun = time.process_time()
                found = slab_check.check_slabs(it, pages)
                seconds.append(time.process_time() - begun)
    cells = [
        [str(cpus), f"{len(found):,}", spread(each, 2), f"{np.median(each) / len(found) * 1e6:.1f}"]
        for cpus, each in rows.items()
    ]
    print_table(["CPUs", "slabs read", "CPU seconds", "us a slab"], cells)


@contextmanager
def session() -> Iterator[Session]:
    """A session that is not attached to anything."""
    made = Session(CaptureOptions(stacks="none", buffer_mib=1))
    try:
        yield made
    finally:
        made.close()


@contextmanager
def negative_dentries(count: int) -> Iterator[None]:
    """So many dentries of names that do not exist; they go with their folder."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-names-", dir="/var/tmp") as folder:
        for number in range(count):
            Path(f"{folder}/{number}").exists()
        yield


def slab_pages() -> UInt64:
    """The address of each slab of this machine."""
    machine = Machine.opened()
    try:
        return np.sort(machine.pages().slabs.memory)
    finally:
        machine.close()


class ManyCpus(PerCpu):
    """This machine's CPUs, so often that they are as many as asked for."""

    def __init__(self, session: Session, cpus: int) -> None:
        here = session.__class__.percpu(session).bases.values()
        self.bases = dict(enumerate(np.resize(list(here), cpus).tolist()))
