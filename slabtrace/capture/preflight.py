# SPDX-License-Identifier: Apache-2.0
"""Checks before recording: one for each thing that a machine or a user must have, with the remedy.

What a recording can do without is in limits.py.
`record` stops at the first required check that fails; `doctor` shows all.  tracefs is not needed: raw
tracepoints are attached through bpf(2), and BTF describes their arguments.
"""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Callable
from pathlib import Path

from slabtrace.capture import limits
from slabtrace.capture.kernel import btf
from slabtrace.capture.kernel.features import REQUIRED_TRACEPOINTS
from slabtrace.capture.limits import Check
from slabtrace.capture.process.privileges import ATTACHING, Capability, permitted
from slabtrace.capture.programs.compiler import find_bcc, import_bcc
from slabtrace.capture.programs.loading import LOCKED_DOWN
from slabtrace.errors import CaptureError

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TIME_OFFSETS = Path("/proc/self/timens_offsets")


def _architecture() -> Check:
    machine = platform.machine()
    return Check(
        "architecture",
        machine == "x86_64",
        found=machine,
        problem=f"slabtrace records on x86-64 only; this machine is {machine}",
        remedy="record on an x86-64 machine; its traces can be read here",
    )


def _privileges() -> Check:
    held = {each for each in Capability if permitted() >> each & 1}
    words = [f"CAP_{each.name}" for each in sorted(ATTACHING) if each in held]
    lacking = [f"CAP_{each.name}" for each in (Capability.BPF, Capability.PERFMON) if each not in held]
    return Check(
        "privileges",
        not lacking or Capability.SYS_ADMIN in held,
        found=", ".join(words) or "CAP_SYS_ADMIN",
        problem=f"recording needs root, or CAP_BPF and CAP_PERFMON: {' and '.join(lacking)} missing",
        remedy="run it with sudo",
    )


def _lockdown() -> Check:
    mode = ""
    with contextlib.suppress(OSError):  # no securityfs, or not readable: loading the programs will show
        match = re.search(r"\[(\w+)\]", _LOCKDOWN.read_text())
        mode = match.group(1) if match else ""
    return Check(
        "lockdown",
        mode != "confidentiality",
        found=mode or "none",
        problem=LOCKED_DOWN[0],
        remedy=LOCKED_DOWN[1],
    )


def _clock() -> Check:
    words: list[str] = []
    with contextlib.suppress(OSError):  # a kernel without time namespaces (before 5.6, or not built in)
        words = _TIME_OFFSETS.read_text().split()  # "monotonic 0 0 boottime 0 0": s and ns
    return Check(
        "clock",
        words[:1] != ["monotonic"] or words[1:3] == ["0", "0"],
        found="CLOCK_MONOTONIC is the kernel's own",
        problem="this is a time namespace: its CLOCK_MONOTONIC differs from the kernel's, which events have",
        remedy="record outside of the time namespace: nsenter --time -t 1",
    )


def _btf() -> Check:
    return Check(
        "BTF",
        btf.VMLINUX.exists(),
        found=str(btf.VMLINUX),
        problem=btf.MISSING[0],
        remedy=btf.MISSING[1],
    )


def _bcc() -> Check:
    try:
        version = str(import_bcc().__version__)
        problem, remedy = "", ""
    except CaptureError as error:
        version, problem, remedy = "", error.message, error.remedy
    return Check("bcc", not problem, found=f"{version} in {find_bcc()}", problem=problem, remedy=remedy)


def _tracepoints() -> Check:
    try:
        types = btf.Btf()
    except CaptureError as error:
        return Check("tracepoints", False, problem=error.message, remedy=error.remedy)
    missing = [name for name in REQUIRED_TRACEPOINTS if types.tracepoint_arguments(name) is None]
    types.close()
    return Check(
        "tracepoints",
        not missing,
        found="kmem:" + ", ".join(REQUIRED_TRACEPOINTS),
        problem=f"this kernel has no tracepoint kmem:{', kmem:'.join(missing)}",
        remedy="boot a kernel built with CONFIG_TRACEPOINTS=y",
    )


REQUIRED: tuple[Callable[[], Check], ...] = (_architecture, _privileges, _lockdown, _clock, _btf, _bcc)


def run_checks() -> list[Check]:
    """Run every check; raises nothing."""
    return [check() for check in (*REQUIRED, _tracepoints, *limits.CHECKS)]


def require() -> None:
    """Raise CaptureError for the first required thing that is missing."""
    for check in REQUIRED:
        outcome = check()
        if not outcome.ok:
            raise CaptureError(outcome.problem, outcome.remedy)
