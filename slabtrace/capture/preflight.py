# SPDX-License-Identifier: Apache-2.0
"""Checks before recording: one for each thing that a machine or a user may lack, with the remedy.

`record` stops at the first required check that fails; `doctor` shows all.  tracefs is not needed: raw
tracepoints are attached through bpf(2), and BTF describes their arguments.
"""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slabtrace.capture.kernel import btf
from slabtrace.capture.kernel.features import REQUIRED_TRACEPOINTS
from slabtrace.capture.process.privileges import ATTACHING, Capability, permitted
from slabtrace.capture.programs.compiler import find_bcc, import_bcc
from slabtrace.capture.programs.loading import LOCKED_DOWN
from slabtrace.errors import CaptureError

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TIME_OFFSETS = Path("/proc/self/timens_offsets")
_SLABINFO = Path("/proc/slabinfo")
_KALLSYMS = Path("/proc/kallsyms")


@dataclass(frozen=True)
class Check:
    """The outcome of one check: `found` if it passed, `problem` and `remedy` if not.

    If a check that is not `required` fails, a recording works, but `problem` says what it lacks.
    """

    name: str
    ok: bool
    found: str = ""
    problem: str = ""
    remedy: str = ""
    required: bool = True


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


def _slabinfo() -> Check:
    try:
        _SLABINFO.open().close()  # access(2) would not count capabilities
        readable = True
    except OSError:
        readable = False
    return Check(
        "slabinfo",
        readable,
        found=str(_SLABINFO),
        problem=f"{_SLABINFO} cannot be read: the memory in use before the recording is unknown, and what "
        "is traced cannot be compared with the kernel's own count",
        remedy="run it as root or with CAP_DAC_READ_SEARCH, on a kernel with CONFIG_SLUB_DEBUG=y",
        required=False,
    )


def _symbols() -> Check:
    shown = False
    if _KALLSYMS.exists():
        with _KALLSYMS.open() as file:
            shown = any(int(line.split()[0], 16) for line, _ in zip(file, range(64), strict=False))
    return Check(
        "symbols",
        shown,
        found=str(_KALLSYMS),
        problem="the kernel hides its addresses: call sites will have no names",
        remedy="run it as root or with CAP_SYSLOG, with sysctl kernel.kptr_restrict=0 or 1",
        required=False,
    )


def _priority() -> Check:
    return Check(
        "priority",
        bool(permitted() >> Capability.SYS_NICE & 1),
        found="the recorder may run at nice -20",
        problem="the recorder runs like any other task: on a busy machine it may drop events",
        remedy="run it as root or with CAP_SYS_NICE",
        required=False,
    )


REQUIRED: tuple[Callable[[], Check], ...] = (_architecture, _privileges, _lockdown, _clock, _btf, _bcc)
OPTIONAL: tuple[Callable[[], Check], ...] = (_slabinfo, _symbols, _priority)


def run_checks() -> list[Check]:
    """Run every check; raises nothing."""
    return [check() for check in (*REQUIRED, _tracepoints, *OPTIONAL)]


def limits() -> list[str]:
    """What a recording here will lack: the problem of each check that failed and is not required."""
    return [each.problem for each in (check() for check in OPTIONAL) if not each.ok]


def require() -> None:
    """Raise CaptureError for the first required thing that is missing."""
    for check in REQUIRED:
        outcome = check()
        if not outcome.ok:
            raise CaptureError(outcome.problem, outcome.remedy)
