# SPDX-License-Identifier: Apache-2.0
"""The oldest and the newest kernel of the lab, side by side, with one guest each.

`make kernels` tests all kernels, and also what makes a guest panic.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.kernels.experiment import PASSED, Row, examine_at_once
from tests.kernels.packages import GENERIC, LabError, obtain
from tests.needs import need_program

KERNELS = ("5.10", "7")
TIMEOUT_S = 600  # both are emulated, on as few as two CPUs


def test_they_are_the_oldest_and_the_newest() -> None:
    assert (KERNELS[0], KERNELS[-1]) == (GENERIC[0], GENERIC[-1])


@pytest.fixture(scope="module")
def examined() -> Iterator[dict[str, Future[list[Row]]]]:
    for program in ("qemu-system-x86_64", "busybox", "cpio", "make", "gcc"):
        need_program(program)
    try:
        kernels = [obtain(label) for label in KERNELS]
    except LabError as error:
        if os.environ.get("SLABTRACE_REQUIRE_LIVE") == "1":
            raise
        pytest.skip(f"the kernels cannot be fetched: {error}")
    with ThreadPoolExecutor(len(kernels)) as pool:
        yield {kernel.label: pool.submit(examine_at_once, kernel, TIMEOUT_S) for kernel in kernels}


@pytest.mark.parametrize("label", KERNELS)
def test_all_that_is_done_in_a_guest_is_found(examined: dict[str, Future[list[Row]]], label: str) -> None:
    rows = examined[label].result()
    assert [str(row) for row in rows if row.result != PASSED] == []
    assert len(rows) > 25, "the guest, its steps, and every check"
