# SPDX-License-Identifier: Apache-2.0
"""Load and attach the BPF programs, and detach them again.

bcc compiles them and makes the maps.  They are loaded here, because bcc cannot call kernel functions, and
would attach fentry programs while it compiles.  Links are file descriptors and nothing is pinned, so a
recorder that is killed leaves nothing in the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes as ct
import errno
import mmap
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from slabtrace.capture.programs import bpf_syscall
from slabtrace.capture.programs.compiler import import_bcc
from slabtrace.capture.programs.kfuncs import Kfuncs, point_at_map
from slabtrace.capture.programs.layout import header_numbers
from slabtrace.errors import CaptureError

LOCKED_DOWN = (
    "the kernel is locked down (confidentiality): BPF may not read kernel memory",
    "boot without lockdown=confidentiality (Secure Boot by itself only needs 'integrity')",
)
_NOT_PERMITTED = (os.strerror(errno.EPERM), os.strerror(errno.EACCES))  # and no complaint of the verifier
_PERCPU_ELEMENTS_ITSELF = header_numbers("percpu.h")["PERCPU_ELEMENTS_ITSELF"]


def refusal(program: str, reason: str) -> CaptureError:
    """The error for a program that the kernel refuses; `reason`: the verifier's complaint.

    Under lockdown (confidentiality) the helper does not exist: bpf_base_func_proto, kernel/bpf/helpers.c.
    """
    if re.search(r"(cannot use helper|unknown func) bpf_probe_read_kernel", reason):
        return CaptureError(*LOCKED_DOWN)
    remedy = "run `slabtrace doctor` to see what this kernel allows"
    if reason in _NOT_PERMITTED:
        remedy = (
            "allow bpf(2): CAP_BPF and CAP_PERFMON, in a container its seccomp profile, under SELinux "
            "bpf { prog_load prog_run }"
        )
    return CaptureError(f"the kernel refuses the BPF program {program}: {reason}", remedy)


class Programs:
    """The compiled BPF object: its maps, its loaded programs, its attachments."""

    def __init__(self, bpf: Any, kfuncs: Kfuncs) -> None:
        self._bpf = bpf
        self._kfuncs = kfuncs
        self._links: dict[str, int] = {}
        self._once_attached: dict[str, int] = {}
        self._maps: list[mmap.mmap] = []
        self._loaded: dict[str, int] = {}

    def load(self, program: str) -> int:
        """Load a program as a raw tracepoint program, once; returns its file descriptor.

        Raises CaptureError with the verifier's complaint.
        """
        if program not in self._loaded:
            try:
                self._loaded[program] = bpf_syscall.load_raw_tracepoint(self._code(program), program)
            except OSError as error:
                raise refusal(program, str(error.strerror)) from error
        return self._loaded[program]

    def _code(self, program: str) -> bytes:
        """The instructions of a program: bcc has filled in the maps; kernel functions are filled in here."""
        lib, module, name = import_bcc().libbcc.lib, self._bpf.module, program.encode()
        code = ct.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name))
        code = point_at_map(code, _PERCPU_ELEMENTS_ITSELF, self.map_fd("percpu_elements"))
        return self._kfuncs.resolve(code)

    def attach(self, program: str, tracepoint: str) -> None:
        """Attach a program to a raw tracepoint; several may share one.  Raises CaptureError."""
        fd = self.load(program)
        link = import_bcc().libbcc.lib.bpf_attach_raw_tracepoint(fd, tracepoint.encode())
        if link < 0:
            raise CaptureError(
                f"the tracepoint {tracepoint} cannot be attached: {os.strerror(abs(link) or errno.EINVAL)}",
                "run `slabtrace doctor` to see what this kernel allows",
            )
        self._links[program] = link
        self._once_attached[program] = fd

    def load_tracing(self, program: str, at_exit: bool, type_id: int) -> None:
        """Load a program for the entry or exit of the kernel function with this BTF id.

        Raises CaptureError.
        """
        try:
            fd = bpf_syscall.load_tracing(self._code(program), at_exit, type_id, program)
        except OSError as error:
            raise CaptureError(f"the kernel refuses the BPF program {program}: {error.strerror}") from error
        self._loaded[program] = fd

    def attach_tracing(self, program: str) -> None:
        """Attach a program that load_tracing loaded.  Raises CaptureError."""
        fd = self._loaded[program]
        try:
            self._links[program] = bpf_syscall.attach_tracing(fd)
        except OSError as error:
            raise CaptureError(f"{program} cannot be attached: {error.strerror}") from error
        self._once_attached[program] = fd

    def detach(self, programs: Iterable[str] | None = None) -> None:
        """Detach the named programs, or all.  Their maps stay readable."""
        for program in list(self._links if programs is None else programs):
            with contextlib.suppress(OSError):
                os.close(self._links.pop(program))

    @property
    def attached(self) -> list[str]:
        """Names of the attached programs, in the order of attaching."""
        return list(self._links)

    def map_fd(self, name: str) -> int:
        """File descriptor of a map."""
        return int(self._bpf[name.encode()].map_fd)

    def map_bytes(self) -> int:
        """Memory of all maps, by the kernel's own account (memlock in /proc/self/fdinfo of each)."""
        lib, module = import_bcc().libbcc.lib, ct.c_void_p(self._bpf.module)  # bcc declares no types of these
        fds = [lib.bpf_table_fd_id(module, ct.c_size_t(at)) for at in range(lib.bpf_num_tables(module))]
        return sum(_memlock(fd) for fd in fds)

    def table(self, name: str) -> Any:
        """bcc's view of a map, for the rare accesses that need no speed."""
        return self._bpf[name.encode()]

    def set_bytes(self, name: str, value: bytes) -> None:
        """Set the only element of an array map."""
        table = self.table(name)
        table[table.Key(0)] = table.Leaf.from_buffer_copy(value)

    def mapped(self, name: str, dtype: np.dtype[np.void] | str, count: int) -> np.ndarray[Any, Any]:
        """A BPF_F_MMAPABLE array map as a writable ndarray of shape (count,), shared with the kernel."""
        itemsize = np.dtype(dtype).itemsize
        length = -(-itemsize * count // mmap.PAGESIZE) * mmap.PAGESIZE
        # populated now: under load a page fault in the consumer costs more than a chunk of events
        memory = mmap.mmap(self.map_fd(name), length, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self._maps.append(memory)
        return np.frombuffer(memory, dtype=dtype, count=count)

    def run_once(self, program: str, arguments: list[int], cpu: int | None = None) -> None:
        """Run a loaded program once on made-up tracepoint arguments (BPF_PROG_TEST_RUN), here or on `cpu`.

        Raises OSError where that CPU is offline.
        """
        bpf_syscall.test_run(self.load(program), arguments, cpu)

    def runner(self, program: str, arguments: int, keeps_lock: bool = True) -> bpf_syscall.Runner:
        """To run a program many times, here, on `arguments` made-up tracepoint arguments.

        Raises CaptureError where it cannot be loaded.
        """
        return bpf_syscall.Runner(self.load(program), arguments, keeps_lock)

    def recursion_misses(self) -> dict[str, int]:
        """For each program that was attached: how often the kernel skipped it because it was active."""
        return {
            name: bpf_syscall.program_statistics(fd)["recursion_misses"]
            for name, fd in self._once_attached.items()
        }

    def run_times(self) -> tuple[int, int]:
        """(ns, runs) of all programs so far; the kernel counts only within `run_time_counted`."""
        every = [bpf_syscall.program_statistics(fd) for fd in list(self._once_attached.values())]
        return sum(each["run_time_ns"] for each in every), sum(each["run_cnt"] for each in every)

    def close(self) -> None:
        """Detach everything and free programs and maps."""
        self.detach()
        for fd in self._loaded.values():
            os.close(fd)
        self._loaded.clear()
        self._bpf.cleanup()


def _memlock(fd: int) -> int:
    """The memory of a map; 0 where /proc does not say it."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
            if line.startswith("memlock:"):
                return int(line.split()[1])
    return 0
