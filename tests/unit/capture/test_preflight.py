# SPDX-License-Identifier: Apache-2.0
"""What a machine does not permit is reported with its cause: the kernel's answers are faked."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from slabtrace.capture import preflight
from slabtrace.capture.process import privileges
from slabtrace.capture.process.privileges import Capability
from slabtrace.capture.programs import bpf_syscall, loading
from slabtrace.errors import CANNOT_TRACE, CaptureError


def holding(monkeypatch: pytest.MonkeyPatch, *capabilities: Capability) -> None:
    monkeypatch.setattr(preflight, "permitted", lambda: sum(1 << each for each in capabilities))


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("none integrity [confidentiality]\n", True),
        ("none [integrity] confidentiality\n", False),
        ("[none] integrity confidentiality\n", False),
    ],
)
def test_lockdown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, refused: bool) -> None:
    file = tmp_path / "lockdown"
    file.write_text(content)
    monkeypatch.setattr(preflight, "_LOCKDOWN", file)
    holding(monkeypatch, Capability.BPF, Capability.PERFMON)
    outcome = {check.name: check for check in preflight.run_checks()}["lockdown"]
    assert outcome.ok is not refused
    if refused:
        with pytest.raises(CaptureError, match="locked down") as error:
            preflight.require()
        assert error.value.exit_code == CANNOT_TRACE and "lockdown=confidentiality" in error.value.remedy


@pytest.mark.parametrize(
    ("content", "ok"),
    [
        ("monotonic           0         0\nboottime            5         0\n", True),
        ("monotonic      100003         0\nboottime            0         0\n", False),
        ("monotonic           0        -1\nboottime            0         0\n", False),
        ("", True),
    ],
)
def test_a_time_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, ok: bool) -> None:
    file = tmp_path / "timens_offsets"
    file.write_text(content)
    monkeypatch.setattr(preflight, "_TIME_OFFSETS", file)
    assert preflight._clock().ok is ok


def test_a_lockdown_that_may_not_be_looked_at_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", closed)
    assert preflight._lockdown().ok


@pytest.mark.parametrize("missing", [Capability.BPF, Capability.PERFMON])
def test_one_of_two_capabilities_is_not_enough(monkeypatch: pytest.MonkeyPatch, missing: Capability) -> None:
    holding(monkeypatch, *privileges.ATTACHING - {missing})
    with pytest.raises(CaptureError, match=f"CAP_{missing.name} missing"):
        preflight.require()
    holding(monkeypatch, *privileges.ATTACHING - {missing}, Capability.SYS_ADMIN)
    assert preflight._privileges().ok  # which stands for both


def test_a_kernel_that_refuses_programs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSM's EPERM, say."""

    def forbidden(*_: object) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(bpf_syscall, "_bpf_fd", forbidden)
    programs = loading.Programs(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(programs, "_code", lambda _: b"")
    with pytest.raises(
        CaptureError, match="refuses the BPF program kmalloc: Operation not permitted"
    ) as error:
        programs.load("kmalloc")
    assert error.value.exit_code == CANNOT_TRACE and "seccomp" in error.value.remedy


@pytest.mark.parametrize(
    "said",
    [
        "unknown func bpf_probe_read_kernel#113",
        "program of this type cannot use helper bpf_probe_read_kernel#113",  # since 6.10
    ],
)
def test_a_lockdown_that_only_the_verifier_shows(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EINVAL, said)

    monkeypatch.setattr(bpf_syscall, "_bpf_fd", refused)
    programs = loading.Programs(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setattr(programs, "_code", lambda _: b"")
    with pytest.raises(CaptureError, match="locked down") as error:
        programs.load("kmalloc")
    assert "lockdown=confidentiality" in error.value.remedy
