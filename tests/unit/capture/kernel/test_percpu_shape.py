# SPDX-License-Identifier: Apache-2.0
"""The tracepoints of per-CPU memory, as kernels declare them (include/trace/events/percpu.h)."""

from __future__ import annotations

from typing import cast

import pytest

from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.percpu_shape import examine
from slabtrace.errors import CaptureError

OLD = ["bool", "bool", "size_t", "size_t", "void *", "int", "void *"]
NEW = ["long unsigned int", *OLD, "size_t", "gfp_t"]
FREE = ["void *", "int", "void *"]


class FakeBtf:
    """A kernel with these tracepoints."""

    def __init__(self, **tracepoints: list[str]) -> None:
        self._tracepoints = tracepoints

    def tracepoint_arguments(self, tracepoint: str) -> list[str] | None:
        return self._tracepoints.get(tracepoint)


def defines(alloc: list[str], free: list[str]) -> dict[str, int]:
    btf = cast("Btf", FakeBtf(percpu_alloc_percpu=alloc, percpu_free_percpu=free))
    return examine(btf, 64).defines()


def test_arguments_since_6_0() -> None:
    assert defines(NEW, FREE) == {
        "ARG_percpu_alloc_percpu_call_site": 0,
        "ARG_percpu_alloc_percpu_bytes_req": 3,
        "ARG_percpu_alloc_percpu_ptr": 7,
        "ARG_percpu_alloc_percpu_bytes_alloc": 8,
        "ARG_percpu_alloc_percpu_gfp_flags": 9,
        "ARG_percpu_free_percpu_ptr": 2,
        "PERCPU_MEMORY": 1,
        "POSSIBLE_CPUS": 64,
    }


def test_arguments_before() -> None:
    found = defines(OLD, FREE)
    assert (found["ARG_percpu_alloc_percpu_bytes_req"], found["ARG_percpu_alloc_percpu_ptr"]) == (2, 6)
    assert "ARG_percpu_alloc_percpu_call_site" not in found
    assert "ARG_percpu_alloc_percpu_bytes_alloc" not in found


def test_a_pointer_with_a_type_tag_is_found() -> None:
    tagged = [*NEW[:7], "percpu *", *NEW[8:]]
    assert defines(tagged, ["void *", "int", "percpu *"]) == defines(NEW, FREE)


@pytest.mark.parametrize("tracepoints", [{}, {"percpu_alloc_percpu": NEW}, {"percpu_alloc_percpu": ["int"]}])
def test_a_kernel_without_them_is_refused(tracepoints: dict[str, list[str]]) -> None:
    with pytest.raises(CaptureError, match="--percpu cannot be used"):
        examine(cast("Btf", FakeBtf(**tracepoints)), 2)
