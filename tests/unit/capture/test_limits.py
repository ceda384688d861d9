# SPDX-License-Identifier: Apache-2.0
"""What a recording would lack here is said before it begins, with its cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.capture import limits
from slabtrace.capture.limits import Check
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.stream.rings import RingGeometry

SLOTS_OF_A_MIB = (1 << 20) // 64


@pytest.mark.parametrize(
    ("enable", "harden", "says"),
    [
        ("1", "0", ""),
        ("1", "1", ""),  # only programs of others are hardened
        ("0", "0", "JIT is off"),
        ("1", "2", "hardens all"),
        ("what?", None, ""),
    ],
)
def test_the_jit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, enable: str, harden: str | None, says: str
) -> None:
    (tmp_path / "bpf_jit_enable").write_text(enable)
    if harden is not None:
        (tmp_path / "bpf_jit_harden").write_text(harden)
    monkeypatch.setattr(limits, "_JIT", tmp_path)
    check = limits._jit()
    assert check.ok is (says == "") and (check.ok or says in check.problem)
    assert check.ok or check.remedy.startswith("sysctl net.core.bpf_jit_")


@pytest.mark.parametrize(
    ("mib", "limit", "says"), [(64, None, ""), (16, 1 << 30, ""), (8, 300 << 20, "300 MiB")]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, mib: int, limit: int | None, says: str) -> None:
    monkeypatch.setattr(limits, "ring_geometry", lambda buffer: RingGeometry(2, mib * SLOTS_OF_A_MIB))
    monkeypatch.setattr(limits, "cgroup_limit", lambda: limit)
    check = limits._memory()
    assert check.ok is (says == "") and (check.ok or says in check.problem)


@pytest.mark.parametrize(("cpus", "ok"), [(2, True), (32, True), (33, False), (128, False)])
def test_many_cpus(monkeypatch: pytest.MonkeyPatch, cpus: int, ok: bool) -> None:
    monkeypatch.setattr(limits, "online_cpus", lambda: cpus)
    assert limits._cpus().ok is ok


def test_what_only_many_events_need_is_not_said_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> Check:
        return Check("CPUs", False, problem="too many", required=False)

    monkeypatch.setattr(limits, "_cpus", failing)
    monkeypatch.setattr(limits, "CHECKS", (failing,))
    assert limits.limits(CaptureOptions()) == ["too many"]
    for few in (CaptureOptions(mode="survivors"), CaptureOptions(sample=16), CaptureOptions(budget=0.02)):
        assert limits.limits(few) == []


def test_nothing_here_is_required() -> None:
    assert not any(check().required for check in limits.CHECKS)
