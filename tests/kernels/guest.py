# SPDX-License-Identifier: Apache-2.0
"""Boot a kernel in QEMU without KVM, run one command in it, and hand back what came of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.kernels import initramfs
from tests.kernels.packages import Kernel, LabError

ROOT = Path(os.environ.get("SLABTRACE_LAB_TREE") or Path(__file__).resolve().parents[2])
# QEMU's emulated CPUs may run into a breakpoint that another one has taken away already, where the kernel
# patches its own text: attaching to a tracepoint flips a jump label (arch/x86/kernel/alternative.c).
_EMULATED = re.compile(r"Oops: int3")
_BOOTS = 3
SHARED = "/run/lab"  # the folder of `run`, as the guest sees it
_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")
_COMPLAINT = re.compile(
    r"(WARNING: .*|BUG: .*|Oops: .*|general protection fault.*|INFO: .*(?:stall|blocked).*)"
)


@dataclass
class Outcome:
    """What a guest did.  `status` is None if it never got to the end; `failure` then says why."""

    status: int | None
    output: str
    failure: str
    panicked: bool
    complaints: list[str]
    seconds: float
    folder: Path


def run(
    kernel: Kernel,
    argv: list[str],
    folder: Path,
    timeout: float = 300,
    files: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Run a command in a guest, in the work tree as its current folder.

    `folder`, made anew with these `files` in it, is the guest's /run/lab and keeps its console.log.
    A guest that ended by a fault of the emulator is booted again.
    """
    for _ in range(_BOOTS - 1):
        outcome = _run_once(kernel, argv, folder, timeout, files)
        if not (outcome.panicked and _EMULATED.search(read(folder / "console.log"))):
            return outcome
    return _run_once(kernel, argv, folder, timeout, files)


def _run_once(
    kernel: Kernel, argv: list[str], folder: Path, timeout: float, files: Mapping[str, str]
) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "job").write_text(f"cd {shlex.quote(str(ROOT))} || exit 125\nexec {shlex.join(argv)}\n")
    initrd = initramfs.build(kernel, folder / "initramfs")
    begun = time.monotonic()
    ended = _qemu(_arguments(kernel, initrd, folder), timeout)
    seconds = time.monotonic() - begun
    initrd.unlink()
    return _outcome(folder, seconds, ended)


def _arguments(kernel: Kernel, initrd: Path, folder: Path) -> list[str]:
    # oops=panic: what harms the guest's kernel ends the guest at once, with the reason on its console
    line = "console=ttyS0 panic=-1 oops=panic printk.time=1"
    share = "local,security_model=none,multidevs=remap"
    return [
        "qemu-system-x86_64",
        # without AVX: QEMU 7.2 emulates AVX2 wrongly enough to spoil NumPy's results
        *("-accel", "tcg,thread=multi", "-cpu", "max,avx=off,avx2=off", "-smp", "2", "-m", "2G"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{folder / 'console.log'}"),
        *("-virtfs", f"{share},path=/,mount_tag=root,readonly=on"),
        *("-virtfs", f"{share},path={folder},mount_tag=lab"),
        *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", line),
    ]


def _qemu(argv: list[str], timeout: float) -> bool:
    """False if it had to be stopped."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise LabError("qemu is missing: apt install qemu-system-x86") from error
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        raise LabError(f"qemu failed: {done.stderr.strip()}")
    return True


def _outcome(folder: Path, seconds: float, ended: bool) -> Outcome:
    console = read(folder / "console.log")
    status, panic = read(folder / "status").strip(), _PANIC.search(console)
    failure = ""
    if panic:
        failure = f"the guest panicked: {panic[1].strip()}"
    elif not ended:
        failure = f"the guest did not end within {seconds:.0f} s"
    elif not status:
        failure = "the guest ended before its command did"
    if failure:
        failure += f" (its console: {folder / 'console.log'})"
    return Outcome(
        status=int(status) if status and not failure else None,
        output=read(folder / "output"),
        failure=failure,
        panicked=panic is not None,
        complaints=_COMPLAINT.findall(console),
        seconds=seconds,
        folder=folder,
    )


def read(file: Path) -> str:
    """The text of a file, "" if there is none."""
    return file.read_text(errors="replace") if file.exists() else ""
