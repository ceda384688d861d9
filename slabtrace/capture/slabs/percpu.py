# SPDX-License-Identifier: Apache-2.0
"""The per-CPU offsets: a per-CPU pointer of the kernel plus the offset of a CPU is an address.

They are learnt from a per-CPU map of slabtrace's own (bpf/percpu.h), so no data symbol is needed.
"""

from __future__ import annotations

import contextlib
import struct

from slabtrace.capture.programs.layout import struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.errors import CaptureError

_U64 = 1 << 64


class PerCpu:
    """`bases`: the offset of each online CPU; empty if they cannot be learnt.

    `pptrs`: the offset, in a per-CPU array map, of the per-CPU pointer to its first element.
    """

    def __init__(self, programs: Programs, walk: SlabWalk, pptrs: int | None, cpus: int) -> None:
        self.bases: dict[int, int] = {}
        if pptrs is None:
            return
        place = programs.mapped("percpu_places", struct_dtype("percpu.h", "percpu_place"), 1)
        with contextlib.suppress(CaptureError):  # a verifier that refuses to store the address of a map
            programs.load("percpu_place")
            for cpu in range(cpus):
                with contextlib.suppress(OSError):  # the CPU is offline
                    programs.run_once("percpu_place", [0], cpu)
                    self._learn(cpu, int(place["element"][0]), walk.read(int(place["map"][0]) + pptrs, 8))

    def _learn(self, cpu: int, element: int, pointer: bytes | None) -> None:
        if pointer is not None:
            self.bases[cpu] = (element - int(struct.unpack("<Q", pointer)[0])) % _U64

    def addresses(self, pointer: int) -> list[int]:
        """The addresses of a per-CPU object on all online CPUs."""
        return [(pointer + base) % _U64 for base in self.bases.values()]
