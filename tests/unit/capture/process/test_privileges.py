# SPDX-License-Identifier: Apache-2.0
"""The steps in which a recorder gives up its capabilities, on a faked kernel and on the real one."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import struct
from collections.abc import Callable

import pytest

from slabtrace.capture.process import privileges
from slabtrace.capture.process.privileges import ATTACHING, RECORDING, Capability
from slabtrace.errors import CANNOT_TRACE, CaptureError
from slabtrace.invoker import InvokingUser

ALL = frozenset(Capability)
BOUNDING_SET_READ, BOUNDING_SET_DROP, NO_NEW_PRIVS = 23, 24, 38  # options of prctl(2)


def bits(capabilities: frozenset[Capability]) -> int:
    return sum(1 << each for each in capabilities)


class FakeKernel:
    """The capabilities of one thread, behind the three functions of libc that change them."""

    def __init__(self, permitted: frozenset[Capability]) -> None:
        self.permitted = self.effective = bits(permitted)
        self.bounding = (1 << 41) - 1
        self.no_new_privs = False
        self.error = 0

    def capget(self, _: object, data: ct.Array[ct.c_char]) -> int:
        words = (self.effective, self.permitted, 0)
        data.raw = struct.pack("=6I", *(w & 0xFFFFFFFF for w in words), *(w >> 32 for w in words))
        return 0

    def capset(self, _: object, data: ct.Array[ct.c_char]) -> int:
        low_e, low_p, _, high_e, high_p, _ = struct.unpack("=6I", data.raw)
        permitted = low_p | high_p << 32
        if self.error or permitted & ~self.permitted:
            ct.set_errno(self.error or errno.EPERM)
            return -1
        self.permitted, self.effective = permitted, low_e | high_e << 32
        return 0

    def prctl(self, option: int, argument: int, *_: int) -> int:
        if option == BOUNDING_SET_READ:
            return self.bounding >> argument & 1
        if option == BOUNDING_SET_DROP:
            self.bounding &= ~(1 << argument)
        self.no_new_privs |= option == NO_NEW_PRIVS
        return 0


Kernel = Callable[..., FakeKernel]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    def with_capabilities(permitted: frozenset[Capability], uid: int = 1000) -> FakeKernel:
        fake = FakeKernel(permitted)
        monkeypatch.setattr(privileges, "_libc", fake)
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        return fake

    return with_capabilities


def test_capabilities_above_31_are_in_the_second_half(kernel: Kernel) -> None:
    kernel(frozenset({Capability.KILL, Capability.BPF}))
    assert privileges.permitted() == 1 << 5 | 1 << 39


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (ALL, ATTACHING),  # far more than is needed
        (frozenset({Capability.BPF, Capability.PERFMON}), {Capability.BPF, Capability.PERFMON}),
        # before 5.8, or without CAP_BPF: CAP_SYS_ADMIN includes it
        (ALL - {Capability.BPF}, ATTACHING - {Capability.BPF} | {Capability.SYS_ADMIN}),
    ],
)
def test_a_user_keeps_what_attaching_needs_of_what_it_has(
    kernel: Kernel, held: frozenset[Capability], left: frozenset[Capability]
) -> None:
    fake = kernel(held)
    privileges.become(InvokingUser(1000, 1000, None))
    assert fake.permitted == fake.effective == bits(frozenset(left))


def test_recording_needs_less_than_attaching_and_nothing_can_be_had_back(kernel: Kernel) -> None:
    fake = kernel(ATTACHING)
    privileges.reduce()
    assert fake.permitted == fake.effective == bits(RECORDING)
    assert fake.bounding == bits(RECORDING) and fake.no_new_privs
    with pytest.raises(PermissionError):
        privileges._set(bits(ATTACHING), bits(ATTACHING))


def test_the_bounding_set_is_left_alone_by_one_who_may_not_change_it(kernel: Kernel) -> None:
    fake = kernel(RECORDING)
    privileges.reduce()
    assert fake.bounding == (1 << 41) - 1
    assert fake.permitted == bits(RECORDING) and fake.no_new_privs


def test_root_still_writes_to_folders_of_others(kernel: Kernel) -> None:
    fake = kernel(ALL, uid=0)
    privileges.reduce()
    assert fake.permitted == bits(RECORDING | {Capability.DAC_OVERRIDE})


def test_one_thread_keeps_what_it_alone_needs(kernel: Kernel) -> None:
    fake = kernel(ATTACHING | {Capability.SYS_ADMIN})
    privileges.keep_only({Capability.SYS_ADMIN, Capability.BPF})
    assert fake.permitted == bits(frozenset({Capability.SYS_ADMIN, Capability.BPF}))


@pytest.mark.parametrize(("uid", "left"), [(1000, 0), (0, bits(RECORDING))])
def test_after_recording_only_root_itself_keeps_anything(kernel: Kernel, uid: int, left: int) -> None:
    fake = kernel(RECORDING, uid)
    privileges.finish()
    assert fake.permitted == left


def test_what_the_kernel_refuses_is_reported_with_a_remedy(kernel: Kernel) -> None:
    kernel(ALL).error = errno.EPERM
    with pytest.raises(CaptureError, match="become uid 1000: Operation not permitted") as error:
        privileges.become(InvokingUser(1000, 1000, None))
    assert error.value.exit_code == CANNOT_TRACE and "without sudo" in error.value.remedy


def test_a_question_is_answered_by_a_process_without_privileges() -> None:
    """On the real kernel: the child has none, and this process keeps its own."""
    before = privileges.permitted()
    assert privileges.would(lambda: privileges.permitted() == 0)
    assert not privileges.would(lambda: privileges.permitted() != 0)
    assert privileges.permitted() == before


def test_a_question_that_fails_is_answered_no() -> None:
    def fail() -> bool:
        raise OSError

    assert not privileges.would(fail)
