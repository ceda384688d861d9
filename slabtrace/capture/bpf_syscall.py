# SPDX-License-Identifier: Apache-2.0
"""The few bpf(2) commands that bcc has no call for: run a program once, read its statistics.

Layouts are those of union bpf_attr and struct bpf_prog_info in the kernel's uapi, which only grow.
"""

from __future__ import annotations

import ctypes as ct
import os
import platform
import struct

from slabtrace.errors import CaptureError

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_TEST_RUN, _OBJ_GET_INFO_BY_FD = 10, 15

# struct bpf_prog_info: byte offsets of the fields used here.
_RUN_TIME_NS, _RUN_CNT, _RECURSION_MISSES, _INFO_SIZE = 192, 200, 208, 232

_libc = ct.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> bytes:
    """Call bpf(2); returns the attributes as the kernel left them.  Raises OSError."""
    buffer = ct.create_string_buffer(attributes, len(attributes))
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        raise CaptureError(f"slabtrace does not know the bpf system call of {platform.machine()}")
    if _libc.syscall(number, command, buffer, len(attributes)) < 0:
        error = ct.get_errno()
        raise OSError(error, os.strerror(error))
    return buffer.raw


def test_run(program_fd: int, arguments: list[int]) -> None:
    """Run a raw tracepoint program once, with the given u64 tracepoint arguments.

    BPF_PROG_TEST_RUN takes raw tracepoint programs since 5.10.  Raises OSError.
    """
    context = (ct.c_uint64 * len(arguments))(*arguments)
    # test: prog_fd, retval, data_size_in/out, data_in/out, repeat, duration, ctx_size_in/out, ctx_in/out, ...
    attributes = struct.pack(
        "=IIIIQQIIIIQQIIII",
        *(program_fd, 0, 0, 0, 0, 0, 0, 0, ct.sizeof(context), 0, ct.addressof(context), 0),
        *(0, 0, 0, 0),
    )
    _bpf(_PROG_TEST_RUN, attributes)


def program_statistics(program_fd: int) -> dict[str, int]:
    """`recursion_misses` (always counted), and `run_time_ns`, `run_cnt` (0 unless enabled).

    A kernel before 5.12 does not know recursion_misses and leaves it 0: it has no recursion guard.
    """
    info = ct.create_string_buffer(_INFO_SIZE)
    _bpf(_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", program_fd, _INFO_SIZE, ct.addressof(info)))
    run_time_ns, run_cnt, misses = struct.unpack_from("=QQQ", info.raw, _RUN_TIME_NS)
    return {"run_time_ns": run_time_ns, "run_cnt": run_cnt, "recursion_misses": misses}
