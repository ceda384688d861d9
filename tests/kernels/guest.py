# SPDX-License-Identifier: Apache-2.0
"""Boot a kernel in QEMU, run one command in it, and return how both ended.

QEMU emulates the CPUs, so no KVM is needed and every machine gets the same ones.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.kernels import build, initramfs, last_state
from tests.kernels.packages import Kernel, LabError
from tests.kernels.waits import BOOT, OUTPUT, Watch

ROOT = Path(os.environ.get("SLABTRACE_LAB_TREE") or Path(__file__).resolve().parents[2])
# Attaching to a tracepoint makes the kernel patch its own text with a breakpoint in between
# (arch/x86/kernel/alternative.c).  An emulated CPU may run into one that another CPU has removed already.
_EMULATED = re.compile(r"Oops: int3")
_BOOTS = 3
_POLL_S = 0.1
# More guests than CPUs make each other miss their deadlines.
_ROOM = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
SHARED = "/run/lab"  # the folder of `run`, as the guest sees it
_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
_COMPLAINT = re.compile(
    r"(WARNING: .*|BUG: .*|Oops: .*|general protection fault.*|INFO: .*(?:stall|blocked|non-static key).*)"
)


@dataclass
class Outcome:
    """How a guest ended.

    `status`: the command's exit status, None where the guest ended before it; `failure` then says why and
    `state` shows the last state.  `waits_s`: how long each wait took.  `boots`: see run.
    """

    status: int | None
    output: str
    failure: str
    panicked: bool
    complaints: list[str]
    seconds: float
    folder: Path
    state: str = ""
    waits_s: dict[str, float] = field(default_factory=dict)
    boots: int = 1


def run(
    kernel: Kernel,
    argv: list[str],
    folder: Path,
    timeout: float = 300,
    files: Mapping[str, str] = MappingProxyType({}),
    memory_mib: int = 2048,
) -> Outcome:
    """Run a command in a guest, with the work tree as its current folder, for `timeout` seconds at most.

    `folder` is made anew with these `files` in it.  It is the guest's /run/lab and keeps its console.log.
    Where a fault of the emulator ended the guest, it is booted again, three times at most.
    Waits until fewer guests than CPUs run.  Raises LabError where QEMU cannot run.
    """
    build.bytecode(ROOT)
    for boots in range(1, _BOOTS + 1):
        with _ROOM:
            outcome = _run_once(kernel, argv, folder, timeout, files, memory_mib)
        outcome.boots = boots
        if not (outcome.panicked and _EMULATED.search(read(folder / "console.log"))):
            break
    return outcome


def _run_once(
    kernel: Kernel,
    argv: list[str],
    folder: Path,
    timeout: float,
    files: Mapping[str, str],
    memory_mib: int,
) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "job").write_text(f"cd {shlex.quote(str(ROOT))} || exit 125\nexec {shlex.join(argv)}\n")
    (folder / f"wait-{BOOT.name}").touch()
    watch = Watch(folder, timeout)
    begun = time.monotonic()
    overdue = _qemu(_arguments(kernel, initramfs.obtain(kernel), folder, memory_mib), watch)
    outcome = _outcome(folder, time.monotonic() - begun, overdue)
    outcome.waits_s = watch.took_s
    return outcome


def _arguments(kernel: Kernel, initrd: Path, folder: Path, memory_mib: int) -> list[str]:
    # oops=panic: what harms the guest's kernel ends the guest at once, with the reason on its console
    # no_timer_check: where the host is busy, emulated timers come too late for that check of the boot
    line = "console=ttyS0 panic=-1 oops=panic printk.time=1 no_timer_check"
    share = "local,security_model=none,multidevs=remap"
    return [
        "qemu-system-x86_64",
        # without AVX: QEMU 7.2 emulates AVX2 wrongly enough to spoil NumPy's results
        *("-accel", "tcg,thread=multi", "-cpu", "max,avx=off,avx2=off", "-smp", "2"),
        *("-m", f"{memory_mib}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{folder / 'console.log'}"),
        *("-virtfs", f"{share},path=/,mount_tag=root,readonly=on"),
        *("-virtfs", f"{share},path={folder},mount_tag=lab"),
        *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", line),
    ]


def _qemu(argv: list[str], watch: Watch) -> str:
    """Run QEMU until the guest ends, or misses a deadline: returns which, "" for none."""
    with _started(argv, watch.folder / "qemu.log") as qemu:
        while qemu.poll() is None:
            if overdue := watch.answer():
                last_state.ask(watch.folder)
                return overdue
            time.sleep(_POLL_S)
    if qemu.returncode:
        raise LabError(f"qemu failed: {read(watch.folder / 'qemu.log').strip()}")
    return ""


@contextmanager
def _started(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running QEMU, which does not outlive the block."""
    with log.open("w") as output:
        try:
            qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except FileNotFoundError as error:
            raise LabError("qemu is missing: apt install qemu-system-x86") from error
    try:
        yield qemu
    finally:
        qemu.kill()
        qemu.wait()


def _outcome(folder: Path, seconds: float, overdue: str) -> Outcome:
    console = read(folder / "console.log")
    status, panic = read(folder / "status").strip(), _PANIC.search(console)
    failure = ""
    if panic:
        failure = f"the guest panicked: {panic[1].strip()}"
    elif overdue:
        failure = overdue
    elif not status:
        failure = "the guest ended before its command did"
    return Outcome(
        status=int(status) if status and not failure else None,
        output=read(folder / OUTPUT),
        failure=failure,
        panicked=panic is not None,
        complaints=_COMPLAINT.findall(console),
        seconds=seconds,
        folder=folder,
        state=last_state.screen(folder) if failure else "",
    )


def read(file: Path) -> str:
    """The text of a file, "" if there is none."""
    return file.read_text(errors="replace") if file.exists() else ""
