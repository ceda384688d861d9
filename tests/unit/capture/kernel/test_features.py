# SPDX-License-Identifier: Apache-2.0
"""What is concluded of a kernel from its BTF."""

from __future__ import annotations

from typing import cast

import pytest

from slabtrace.capture.kernel import arguments
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import preemptible


class FakeBtf:
    """A kernel with these functions, structs and per-CPU variables."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def function(self, name: str) -> int | None:
        return 1 if name in self._names else None

    def has_field(self, struct: str, field: str) -> bool:
        return struct in self._names

    def variable(self, name: str) -> bool:
        return name in self._names


@pytest.mark.parametrize(
    ("functions", "known"),
    [
        ((), False),
        (("init_srcu_struct",), False),
        (("init_srcu_struct_fast",), True),
        (("__init_srcu_struct_fast",), True),  # with lockdep
        (("tracepoint_srcu_srcu_data",), False),  # up to 6.12
        (("srcu_ctr",), False),  # 6.15 to 6.19
        (("srcu_ctr", "tracepoint_srcu_srcu_data"), True),  # by whatever name
    ],
)
def test_programs_of_tracepoints_guarded_by_srcu_fast_can_be_preempted(
    functions: tuple[str, ...], known: bool
) -> None:
    assert preemptible(cast("Btf", FakeBtf(*functions))) is known


class Arguments:
    """A kernel whose tracepoints have arguments of these C types."""

    def __init__(self, **types: list[str]) -> None:
        self._types = types

    def tracepoint_arguments(self, tracepoint: str) -> list[str] | None:
        return self._types.get(tracepoint)


@pytest.mark.parametrize(
    ("types", "found"),
    [
        (["struct page *", "unsigned int"], {"page": 0, "order": 1}),
        (["unsigned int", "struct zone *", "struct page *"], {"page": 2, "order": 0}),
        (["struct folio *", "unsigned int"], None),
        (None, None),
    ],
)
def test_arguments_are_found_by_their_types(types: list[str] | None, found: dict[str, int] | None) -> None:
    btf = Arguments(**({} if types is None else {"mm_page_free": types}))
    assert arguments.of_tracepoint(cast("Btf", btf), "mm_page_free") == found


@pytest.mark.parametrize("flags", ["long unsigned int", "u64"])
def test_the_flags_of_a_new_task_have_one_of_two_types(flags: str) -> None:
    btf = Arguments(task_newtask=["struct task_struct *", flags])
    assert arguments.of_tracepoint(cast("Btf", btf), "task_newtask") == {"task": 0, "flags": 1}


def test_of_two_sizes_the_first_is_what_was_asked_for() -> None:
    types = ["long unsigned int", "const void *", "struct kmem_cache *", "size_t", "size_t", "gfp_t"]
    assert arguments.positions(types, arguments.KMEM) == {
        "call_site": 0, "ptr": 1, "cache": 2, "bytes_req": 3, "bytes_alloc": 4, "gfp_flags": 5
    }  # fmt: skip
