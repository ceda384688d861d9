# SPDX-License-Identifier: Apache-2.0
"""What is concluded of a kernel from its BTF."""

from __future__ import annotations

from typing import cast

import pytest

from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import preemptible


class FakeBtf:
    """A kernel with these functions."""

    def __init__(self, *functions: str) -> None:
        self._functions = functions

    def function(self, name: str) -> int | None:
        return 1 if name in self._functions else None


@pytest.mark.parametrize(
    ("functions", "known"),
    [
        ((), False),
        (("init_srcu_struct",), False),
        (("init_srcu_struct_fast",), True),
        (("__init_srcu_struct_fast",), True),  # with lockdep
    ],
)
def test_programs_of_tracepoints_guarded_by_srcu_fast_can_be_preempted(
    functions: tuple[str, ...], known: bool
) -> None:
    assert preemptible(cast("Btf", FakeBtf(*functions))) is known
