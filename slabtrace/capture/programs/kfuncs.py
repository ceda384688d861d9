# SPDX-License-Identifier: Apache-2.0
"""Patch into a compiled program what bcc cannot compile: calls of kernel functions, and the address of a map.

The C code calls a helper number that does not exist (bpf/kernel_memory.h); here it becomes a call of a kernel
function by its BTF id.  And it loads a map by such a number (bpf/percpu.h); here it becomes the map.
"""

from __future__ import annotations

import os

import numpy as np

from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.programs import bpf_syscall

_CALL = 0x85  # BPF_JMP | BPF_CALL
_PSEUDO_KFUNC = 2  # BPF_PSEUDO_KFUNC_CALL, in the source register's half of `registers`
_LOAD_64, _PSEUDO_MAP = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW, BPF_PSEUDO_MAP_FD
_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("imm", "<i4")])

RDONLY_CAST = 0x7A110001  # the number that stands for bpf_rdonly_cast

# r1 = 0; r2 = 0; call bpf_rdonly_cast; r0 = *(u64 *)(r0 + 0); r0 = 0; exit
_PROBE = (
    (0xB7, 0x01, 0, 0),
    (0xB7, 0x02, 0, 0),
    (_CALL, 0x00, 0, RDONLY_CAST),
    (0x79, 0x00, 0, 0),
    (0xB7, 0x00, 0, 0),
    (0x95, 0x00, 0, 0),
)


class Kfuncs:
    """The kernel functions that can be called on the running kernel."""

    def __init__(self, btf: Btf) -> None:
        self._ids: dict[int, int] = {}
        rdonly_cast = btf.function("bpf_rdonly_cast")
        if rdonly_cast is not None:
            self._ids[RDONLY_CAST] = rdonly_cast
            if not self._casts_to_void():
                del self._ids[RDONLY_CAST]

    def _casts_to_void(self) -> bool:
        """Does bpf_rdonly_cast (6.2, a35b9af4ec2c) cast to void, for loads of any size?  From 6.17."""
        try:
            os.close(bpf_syscall.load_raw_tracepoint(self.resolve(_encoded(_PROBE)), "slabtrace_probe"))
        except OSError:
            return False
        return True

    def defines(self) -> dict[str, str]:
        """The -D numbers for bpf/kernel_memory.h."""
        return {"RDONLY_CAST": hex(RDONLY_CAST)} if RDONLY_CAST in self._ids else {}

    def resolve(self, instructions: bytes) -> bytes:
        """The instructions of a program, with our helper numbers replaced by calls of kernel functions."""
        code = np.frombuffer(bytearray(instructions), dtype=_INSTRUCTION)
        for number, type_id in self._ids.items():
            ours = (code["code"] == _CALL) & (code["imm"] == number)
            code["registers"][ours] = _PSEUDO_KFUNC << 4
            code["imm"][ours] = type_id
        return code.tobytes()


def point_at_map(instructions: bytes, number: int, map_fd: int) -> bytes:
    """The instructions of a program, with the map in place of the one that it loads as `number`."""
    code = np.frombuffer(bytearray(instructions), dtype=_INSTRUCTION)
    loads = (code["code"] == _LOAD_64) & (code["registers"] >> 4 == _PSEUDO_MAP) & (code["imm"] == number)
    code["imm"][loads] = map_fd
    return code.tobytes()


def _encoded(words: tuple[tuple[int, int, int, int], ...]) -> bytes:
    return np.array(list(words), dtype=_INSTRUCTION).tobytes()
