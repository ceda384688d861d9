# SPDX-License-Identifier: Apache-2.0
"""What is said of a program that the kernel does not load; the logs are those of Debian's kernels."""

from __future__ import annotations

import pytest

from slabtrace.capture.programs.bpf_syscall import last_word
from slabtrace.capture.programs.loading import LOCKED_DOWN, refusal

OLD = "verification time {} usec\nstack depth 8\nprocessed 3 insns (limit 1000000) max_states_per_insn 0\n"
# 7.3.4 tells of each subprogram
NEW = (
    "verification time {} usec\nstack depth max 8\n"
    "subprog 0 (<unknown>) main insns_self 17 insns_total 17 stack 8\n"
    "processed 17 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
)


@pytest.mark.parametrize("statistics", [OLD, NEW])
@pytest.mark.parametrize("said", ["R1 invalid mem access 'scalar'", "invalid func unknown#9999"])
def test_the_verifiers_last_word_is_before_its_statistics(said: str, statistics: str) -> None:
    assert last_word(f"0: (85) call\n{said}\n\n{statistics.format(5070)}".encode()) == said
    assert last_word(statistics.format(1).encode()) == last_word(b"") == ""


@pytest.mark.parametrize("statistics", [OLD, NEW])
@pytest.mark.parametrize(
    "said",
    [
        "unknown func bpf_probe_read_kernel#113",
        "program of this type cannot use helper bpf_probe_read_kernel#113",
    ],
)
def test_a_helper_that_a_lockdown_takes_away_is_a_lockdown(said: str, statistics: str) -> None:
    error = refusal("peek", last_word(f"{said}\n{statistics.format(9)}".encode()))
    assert (error.message, error.remedy) == LOCKED_DOWN
    assert "cannot use helper bpf_loop" in refusal("peek", "cannot use helper bpf_loop#181").message
