# SPDX-License-Identifier: Apache-2.0
"""The error for a program or a map that the kernel refuses; the logs are those of Debian's kernels."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from slabtrace.capture.programs import compiler
from slabtrace.capture.programs.bpf_syscall import complaint
from slabtrace.capture.programs.loading import LOCKED_DOWN, refusal
from slabtrace.errors import CaptureError

OLD = "verification time {} usec\nstack depth 8\nprocessed 3 insns (limit 1000000) max_states_per_insn 0\n"
# 7.3.4 has a line for each subprogram
NEW = (
    "verification time {} usec\nstack depth max 8\n"
    "subprog 0 (<unknown>) main insns_self 17 insns_total 17 stack 8\n"
    "processed 17 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"
)


@pytest.mark.parametrize("statistics", [OLD, NEW])
@pytest.mark.parametrize("said", ["R1 invalid mem access 'scalar'", "invalid func unknown#9999"])
def test_the_verifiers_complaint_stands_before_its_statistics(said: str, statistics: str) -> None:
    assert complaint(f"0: (85) call\n{said}\n\n{statistics.format(5070)}".encode()) == said
    assert complaint(statistics.format(1).encode()) == complaint(b"") == ""


@pytest.mark.parametrize("statistics", [OLD, NEW])
@pytest.mark.parametrize(
    "said",
    [
        "unknown func bpf_probe_read_kernel#113",
        "program of this type cannot use helper bpf_probe_read_kernel#113",
    ],
)
def test_a_helper_that_a_lockdown_takes_away_is_a_lockdown(said: str, statistics: str) -> None:
    error = refusal("peek", complaint(f"{said}\n{statistics.format(9)}".encode()))
    assert (error.message, error.remedy) == LOCKED_DOWN
    assert "cannot use helper bpf_loop" in refusal("peek", "cannot use helper bpf_loop#181").message


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("Operation not permitted", "seccomp"), ("R1 invalid mem access 'scalar'", "doctor")],
)
def test_a_program_that_is_not_permitted_is_no_fault_of_the_program(reason: str, remedy: str) -> None:
    error = refusal("kfree", reason)
    assert reason in error.message and remedy in error.remedy


@pytest.mark.parametrize(
    ("written", "message", "remedy"),
    [
        (
            "could not open bpf map: slots, error: Cannot allocate memory\n",
            "the kernel cannot make the BPF map slots: Cannot allocate memory",
            "--buffer",
        ),
        (
            "could not open bpf map: slots, error: Argument list too long\n",
            "the kernel cannot make the BPF map slots: Argument list too long",
            "no map as large",
        ),
        (
            "could not open bpf map: stacks, error: Operation not permitted\n",
            "the kernel cannot make the BPF map stacks: Operation not permitted",
            "seccomp",
        ),
        (
            "could not open bpf map: stacks, error: No space left on device\n",
            "the kernel cannot make the BPF map stacks: No space left on device",
            "doctor",
        ),
        (
            "/virtual/main.c:7:1: error: unknown type name 'u128'\n1 error generated.\n",
            "the BPF programs do not compile here: /virtual/main.c:7:1: error: unknown type name 'u128'",
            "clang",
        ),
        ("", "the BPF programs do not compile here: Failed to compile BPF module", "clang"),
    ],
)
def test_a_map_that_is_refused_is_no_error_of_the_compiler(
    monkeypatch: pytest.MonkeyPatch, written: str, message: str, remedy: str
) -> None:
    """bcc makes the maps while it compiles, and raises the same exception for both."""

    def fail(**_: object) -> None:
        os.write(2, written.encode())
        raise Exception("Failed to compile BPF module")

    monkeypatch.setattr(compiler, "import_bcc", lambda: SimpleNamespace(BPF=fail))
    with pytest.raises(CaptureError) as error:
        compiler.compile_bpf({})
    assert error.value.message == message and remedy in error.value.remedy
