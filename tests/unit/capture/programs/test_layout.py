# SPDX-License-Identifier: Apache-2.0
"""bpf/event.h is the one definition of an event: Python's view of it is held against the schema here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.resources import bpf_dir
from slabtrace.trace.format.schema import FREE_BIT, Flag, Kind

PROBE = """
#include <stdio.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef int16_t s16; typedef int32_t s32; typedef int64_t s64;
#include "event.h"
int main(void) {
    printf("%zu", sizeof(struct slab_event));
"""


def test_an_event_is_one_cache_line() -> None:
    assert event_dtype().itemsize == 64


def test_offsets_are_those_a_c_compiler_finds(tmp_path: Path) -> None:
    dtype = event_dtype()
    names = dtype.names or ()
    body = "".join(f'printf(" %zu", offsetof(struct slab_event, {name}));' for name in names)
    source = tmp_path / "probe.c"
    source.write_text(PROBE + body + "}")
    subprocess.run(["gcc", f"-I{bpf_dir()}", "-o", tmp_path / "probe", source], check=True)
    found = [int(n) for n in subprocess.check_output([tmp_path / "probe"]).split()]
    assert found == [dtype.itemsize, *(dtype.fields[name][1] for name in names)]  # type: ignore[index]


@pytest.mark.parametrize("struct", ["process_event", "text_event"])
def test_what_tasks_do_has_its_time_task_and_kind_where_an_event_has_them(struct: str) -> None:
    event, other = event_dtype(), struct_dtype("event.h", struct)
    for name in ("ts_ns", "tgid", "tid", "cpu", "kind"):
        assert other.fields[name][1] == event.fields[name][1]  # type: ignore[index]


def test_words_lie_as_the_intake_reads_them() -> None:
    at = {name: event_dtype().fields[name][1] for name in event_dtype().names or ()}  # type: ignore[index]
    assert (at["ts_ns"], at["ptr"]) == (0, 8)
    for low, high in (
        ("bytes_req", "bytes_alloc"),
        ("gfp_flags", "stack_id"),
        ("tgid", "tid"),
        ("cpu", "node"),
    ):
        assert at[low] % 8 == 0 and at[high] == at[low] + 4, (low, high)
    assert at["call_site"] == at["ptr"] + 8, "a comm's 16 bytes lie in both"


@pytest.mark.parametrize("kind", Kind)
def test_kinds_are_the_same_in_c_and_python(kind: Kind) -> None:
    assert header_numbers("event.h")[f"SLAB_{kind.name}"] == kind


@pytest.mark.parametrize("flag", Flag)
def test_flags_are_the_same_in_c_and_python(flag: Flag) -> None:
    assert header_numbers("event.h")[f"SLAB_{flag.name}"] == flag


@pytest.mark.parametrize("kind", Kind)
def test_what_ends_a_life_carries_the_free_bit(kind: Kind) -> None:
    ends_a_life = "FREE" in kind.name or kind is Kind.PAGE_END
    assert bool(kind & FREE_BIT) == ends_a_life


def test_counters_of_a_cpu_share_no_line_with_its_neighbours() -> None:
    for struct in ("cpu_state", "lane"):
        assert struct_dtype("ring.h", struct).itemsize % 64 == 0, struct
