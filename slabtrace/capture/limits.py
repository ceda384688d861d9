# SPDX-License-Identifier: Apache-2.0
"""What a recording here would lack: things that it can do without, each with what is missing then.

`record` and `top` say so when they begin; `doctor` shows all.  What is required is in preflight.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slabtrace.capture.host import online_cpus
from slabtrace.capture.options import DEFAULT_BUFFER_MIB, CaptureOptions
from slabtrace.capture.process.memory_limit import cgroup_limit
from slabtrace.capture.process.privileges import Capability, permitted
from slabtrace.capture.sizing import ring_geometry
from slabtrace.capture.stream.naming.pids import in_initial_namespace

_SLABINFO = Path("/proc/slabinfo")
_KALLSYMS = Path("/proc/kallsyms")
_JIT = Path("/proc/sys/net/core")
LEAST_BUFFER_MIB = DEFAULT_BUFFER_MIB // 4  # 60 ms at the highest rate seen
MANY_CPUS = 32  # their events are too many for one consumer: benchmarks/README.md, scaling


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


def _jit() -> Check:
    hardened = _number("bpf_jit_harden") == 2
    problem = "the kernel hardens all JIT-compiled BPF programs (bpf_jit_harden is 2): an event costs more"
    if off := _number("bpf_jit_enable") == 0:
        problem = "the BPF JIT is off: programs are interpreted, and an event costs several times as much"
    return Check(
        "JIT",
        not (off or hardened),
        found="BPF programs are compiled for this CPU",
        problem=problem,
        remedy=f"sysctl net.core.{'bpf_jit_enable' if off else 'bpf_jit_harden'}=1",
        required=False,
    )


def _number(name: str) -> int | None:
    """A setting of the BPF JIT; None where it cannot be read (Documentation/admin-guide/sysctl/net.rst)."""
    try:
        return int((_JIT / name).read_text())
    except (OSError, ValueError):
        return None


def _memory() -> Check:
    rings = ring_geometry(None)
    buffer_mib = rings.task_slots * rings.slot_bytes >> 20
    limit = cgroup_limit()
    of = f"this memory cgroup may use {limit >> 20} MiB" if limit else "this machine has little memory"
    return Check(
        "memory",
        buffer_mib >= LEAST_BUFFER_MIB,
        found=f"{buffer_mib} MiB of buffer for each CPU",
        problem=f"{of}: a buffer of {buffer_mib} MiB for each CPU may drop events at high rates",
        remedy="allow 1 GiB, or record with --mode survivors or --sample 1/16",
        required=False,
    )


def _namespace() -> Check:
    return Check(
        "PID namespace",
        in_initial_namespace(),
        found="/proc shows the processes by the numbers that events have",
        problem="in this PID namespace, names of tasks are known, but files and command lines only of "
        "processes that run in it, or begin while recording",
        remedy="record in the initial PID namespace (docker run --pid=host, hostPID: true)",
        required=False,
    )


def _cpus() -> Check:
    cpus = online_cpus()
    return Check(
        "CPUs",
        cpus <= MANY_CPUS,
        found=f"{cpus}, which one consumer can follow",
        problem=f"{cpus} CPUs can make more than the 3 million events a second that one consumer takes, and "
        "the rest is dropped, and counted; --mode survivors and --sample 1/16 need fewer",
        remedy="record with --mode survivors or --sample 1/16",
        required=False,
    )


CHECKS: tuple[Callable[[], Check], ...] = (_slabinfo, _symbols, _priority, _jit, _memory, _namespace, _cpus)


def limits(options: CaptureOptions) -> list[str]:
    """What such a recording will lack here: the problem of each check that failed."""
    few_events = options.survivors or options.sample > 1 or options.budget is not None
    some = (check for check in CHECKS if not (few_events and check in (_cpus, _memory)))
    return [each.problem for each in (check() for check in some) if not each.ok]
