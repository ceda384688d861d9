# SPDX-License-Identifier: Apache-2.0
"""Calls of our numbers become calls of kernel functions; nothing else changes."""

from __future__ import annotations

import struct

import pytest

from slabtrace.capture.programs import bpf_syscall
from slabtrace.capture.programs.kfuncs import RDONLY_CAST, Kfuncs

TYPE_ID = 91_807
HELPER = struct.pack("<BBhi", 0x85, 0, 0, 5)  # call bpf_ktime_get_ns
OURS = struct.pack("<BBhi", 0x85, 0, 0, RDONLY_CAST)
CONSTANT = struct.pack("<BBhi", 0xB7, 1, 0, RDONLY_CAST)  # r1 = the same number: no call


class Types:
    """A kernel's BTF that has the function, or not."""

    def __init__(self, type_id: int | None) -> None:
        self.type_id = type_id

    def function(self, name: str) -> int | None:
        assert name == "bpf_rdonly_cast"
        return self.type_id


def kfuncs(monkeypatch: pytest.MonkeyPatch, type_id: int | None, accepted: bool = True) -> Kfuncs:
    def load(instructions: bytes, name: str) -> int:
        if not accepted:
            raise OSError(22, "R1 invalid")
        return 1_000_000  # never opened: closing is replaced too

    monkeypatch.setattr(bpf_syscall, "load_raw_tracepoint", load)
    monkeypatch.setattr("os.close", lambda fd: None)
    return Kfuncs(Types(type_id))  # type: ignore[arg-type]


def test_only_our_call_is_made_a_kernel_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kfuncs(monkeypatch, TYPE_ID)
    assert found.defines() == {"RDONLY_CAST": hex(RDONLY_CAST)}
    resolved = found.resolve(HELPER + CONSTANT + OURS)
    assert resolved == HELPER + CONSTANT + struct.pack("<BBhi", 0x85, 2 << 4, 0, TYPE_ID)


@pytest.mark.parametrize(("type_id", "accepted"), [(None, True), (TYPE_ID, False)])
def test_where_the_kernel_has_none_or_refuses_nothing_is_asked_of_it(
    monkeypatch: pytest.MonkeyPatch, type_id: int | None, accepted: bool
) -> None:
    found = kfuncs(monkeypatch, type_id, accepted)
    assert found.defines() == {}
    assert found.resolve(OURS) == OURS
