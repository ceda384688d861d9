# SPDX-License-Identifier: Apache-2.0
"""bpf(2) commands that bcc has no suitable call for: load, attach and run programs, read statistics.

The layouts are those of union bpf_attr and struct bpf_prog_info in the kernel's uapi, which only grow.
"""

from __future__ import annotations

import ctypes as ct
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

from slabtrace.errors import CaptureError

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_TEST_RUN, _OBJ_GET_INFO_BY_FD, _RAW_TRACEPOINT_OPEN, _ENABLE_STATS = 5, 10, 15, 17, 32
_STATS_RUN_TIME = 0
_PROG_TYPE_RAW_TRACEPOINT, _PROG_TYPE_TRACING = 17, 26
_TRACE_FENTRY, _TRACE_FEXIT = 24, 25
_TEST_RUN_ON_CPU = 1
# BPF_LOG_STATS: errors and totals, not each instruction (5.2; 06ee7115b0d1)
_LOG_STATISTICS, _LOG_BYTES = 4, 1 << 16

# struct bpf_prog_info: byte offsets of the fields used here.
_RUN_TIME_NS, _RUN_CNT, _RECURSION_MISSES, _INFO_SIZE = 192, 200, 208, 232

_libc = ct.CDLL(None, use_errno=True)
_locked_libc = ct.PyDLL(None, use_errno=True)  # keeps Python's lock


def _bpf(command: int, attributes: bytes) -> bytes:
    """Call bpf(2); returns the attributes as the kernel left them.  Raises OSError."""
    return _call(command, attributes)[1]


def _bpf_fd(command: int, attributes: bytes) -> int:
    """Call bpf(2) for a command that returns a file descriptor.  Raises OSError."""
    return _call(command, attributes)[0]


def _syscall_number() -> int:
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        raise CaptureError(f"slabtrace does not know the number of bpf(2) on {platform.machine()}")
    return number


def _call(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ct.create_string_buffer(attributes, len(attributes))
    answer = int(_libc.syscall(_syscall_number(), command, buffer, len(attributes)))
    if answer < 0:
        error = ct.get_errno()
        raise OSError(error, os.strerror(error))
    return answer, buffer.raw


def test_run(program_fd: int, arguments: list[int], cpu: int | None = None) -> None:
    """Run a raw tracepoint program once, with the given u64 tracepoint arguments, here or on `cpu`.

    BPF_PROG_TEST_RUN takes raw tracepoint programs since 5.10.  Raises OSError: ENXIO where `cpu` is offline.
    """
    context = (ct.c_uint64 * len(arguments))(*arguments)
    _bpf(_PROG_TEST_RUN, _test_run_attributes(program_fd, context, cpu))


def _test_run_attributes(program_fd: int, context: ct.Array[ct.c_uint64], cpu: int | None) -> bytes:
    flags = 0 if cpu is None else _TEST_RUN_ON_CPU
    # test: prog_fd, retval, data_size_in/out, data_in/out, repeat, duration, ctx_size_in/out, ctx_in/out,
    # flags, cpu, batch_size
    return struct.pack(
        "=IIIIQQIIIIQQIIII",
        *(program_fd, 0, 0, 0, 0, 0, 0, 0, ct.sizeof(context), 0, ct.addressof(context), 0),
        *(flags, cpu or 0, 0, 0),
    )


class Runner:
    """Runs one raw tracepoint program many times; not for several threads at once.

    A run takes a few microseconds.  Python's lock is held meanwhile: to get it back while another thread
    computes can take 5 ms.
    """

    def __init__(self, program_fd: int, arguments: int, keeps_lock: bool = True) -> None:
        """`arguments`: their number; `keeps_lock`: Python's lock, for runs that take microseconds."""
        self._libc = _locked_libc if keeps_lock else _libc
        self._context = (ct.c_uint64 * arguments)()
        attributes = _test_run_attributes(program_fd, self._context, None)
        self._attributes, self._size = ct.create_string_buffer(attributes, len(attributes)), len(attributes)
        self._number = _syscall_number()

    def run(self, *arguments: int) -> None:
        """Run it here, with these u64 tracepoint arguments.  Raises OSError."""
        self._context[:] = [*arguments]
        if self._libc.syscall(self._number, _PROG_TEST_RUN, self._attributes, self._size) < 0:
            error = ct.get_errno()
            raise OSError(error, os.strerror(error))


def load_raw_tracepoint(instructions: bytes, name: str) -> int:
    """Load a raw tracepoint program; returns its fd.  Raises OSError."""
    return _load(instructions, _PROG_TYPE_RAW_TRACEPOINT, 0, 0, name)


def load_tracing(instructions: bytes, at_exit: bool, type_id: int, name: str) -> int:
    """Load an fentry (or fexit) program for the kernel function of a BTF type id; returns its fd.

    Raises OSError: EPERM if the kernel permits no such programs, EINVAL if the function cannot be traced.
    """
    attach_type = _TRACE_FEXIT if at_exit else _TRACE_FENTRY
    return _load(instructions, _PROG_TYPE_TRACING, attach_type, type_id, name)


def _load(instructions: bytes, program_type: int, attach_type: int, type_id: int, name: str) -> int:
    """BPF_PROG_LOAD; returns the program's fd.  Raises OSError with the verifier's complaint as strerror."""
    code = ct.create_string_buffer(instructions, len(instructions))
    licence = ct.create_string_buffer(b"GPL")
    log = ct.create_string_buffer(_LOG_BYTES)
    # type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, name, ifindex,
    # expected_attach_type, btf_fd, func_info_rec_size, func_info, func_info_cnt, line_info_rec_size,
    # line_info, line_info_cnt, attach_btf_id, attach_prog_fd
    attributes = struct.pack(
        "=IIQQIIQII16sIIIIQIIQIII",
        *(program_type, len(instructions) // 8, ct.addressof(code), ct.addressof(licence)),
        *(_LOG_STATISTICS, _LOG_BYTES, ct.addressof(log), 0, 0, name.encode()[:15], 0, attach_type),
        *(0, 0, 0, 0, 0, 0, 0, type_id, 0),
    )
    try:
        return _bpf_fd(_PROG_LOAD, attributes)
    except OSError as error:
        raise OSError(error.errno, complaint(log.value) or error.strerror) from error


_STATISTICS = ("verification time ", "processed ")


def complaint(log: bytes) -> str:
    """The verifier's reason for a refusal: the last line of its log before the statistics, "" for none.

    The statistics begin with the time (print_verification_stats, kernel/bpf/verifier.c); newer kernels have
    lines with other beginnings after it ("subprog 0 ... stack 8", seen on 7.3.4).
    """
    lines = [line.strip() for line in log.decode(errors="replace").splitlines()]
    reasons = [*takewhile(lambda line: not line.startswith(_STATISTICS), lines)]
    return next(filter(None, reversed(reasons)), "")


def has_atomics() -> bool:
    """Does BPF have atomics that return a value here (5.12)?  Tries to load a program with an exchange."""
    # r2 = 1; *(u64 *)(r10 - 8) = r2; r2 = xchg(r10 - 8, r2); r0 = 0; exit
    words = (
        (0xB7, 0x02, 0, 1),
        (0x7B, 0x2A, -8, 0),
        (0xDB, 0x2A, -8, 0xE1),
        (0xB7, 0, 0, 0),
        (0x95, 0, 0, 0),
    )
    code = b"".join(struct.pack("<BBhi", *word) for word in words)
    try:
        os.close(load_raw_tracepoint(code, "slabtrace_probe"))
    except OSError:
        return False
    return True


def attach_tracing(program_fd: int) -> int:
    """Attach a loaded fentry or fexit program; returns the link's fd.  Raises OSError."""
    return _bpf_fd(_RAW_TRACEPOINT_OPEN, struct.pack("=QII", 0, program_fd, 0))


@contextmanager
def run_time_counted() -> Iterator[None]:
    """Let the kernel time all BPF programs within the block (BPF_ENABLE_STATS, 5.8).  Raises OSError."""
    fd = _bpf_fd(_ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))
    try:
        yield
    finally:
        os.close(fd)


def program_statistics(program_fd: int) -> dict[str, int]:
    """`recursion_misses` (always counted), and `run_time_ns`, `run_cnt` (0 unless enabled).

    A kernel before 5.12 has no recursion_misses and leaves it 0: it has no recursion guard.
    """
    info = ct.create_string_buffer(_INFO_SIZE)
    _bpf(_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", program_fd, _INFO_SIZE, ct.addressof(info)))
    run_time_ns, run_cnt, misses = struct.unpack_from("=QQQ", info.raw, _RUN_TIME_NS)
    return {"run_time_ns": run_time_ns, "run_cnt": run_cnt, "recursion_misses": misses}
