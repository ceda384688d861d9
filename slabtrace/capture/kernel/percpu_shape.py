# SPDX-License-Identifier: Apache-2.0
"""--percpu: what the tracepoints of per-CPU memory look like on the running kernel.

include/trace/events/percpu.h.  The call site, the bytes of all CPUs together and the gfp flags came with
f67bed134a05 ("percpu: improve percpu_alloc_percpu event trace", 6.0); before, only a stack has the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf
from slabtrace.errors import CaptureError

ALLOC, FREE = "percpu_alloc_percpu", "percpu_free_percpu"
TRACEPOINTS = (ALLOC, FREE)


@dataclass(frozen=True)
class PercpuShape:
    """{argument: index} of both tracepoints; `cpus`: those for which the kernel allocates (possible ones)."""

    arguments: Mapping[str, Mapping[str, int]]
    cpus: int

    def defines(self) -> dict[str, int]:
        """The -D numbers for bpf/percpu_memory.h."""
        numbers = {
            f"ARG_{tracepoint}_{name}": index
            for tracepoint, arguments in self.arguments.items()
            for name, index in arguments.items()
        }
        return numbers | {"PERCPU_MEMORY": 1, "POSSIBLE_CPUS": self.cpus}


def examine(btf: Btf, cpus: int) -> PercpuShape:
    """Learn the arguments from BTF.  Raises CaptureError if this kernel lacks the tracepoints."""
    return PercpuShape({name: _arguments(name, btf.tracepoint_arguments(name)) for name in TRACEPOINTS}, cpus)


def _arguments(tracepoint: str, types: list[str] | None) -> dict[str, int]:
    """By type and order: of a pointer with a type tag (percpu) BTF has another spelling than of void *."""
    if types is None or types.count("int") != 1 or types[-1] == "int":
        raise CaptureError(
            f"--percpu cannot be used: this kernel has no tracepoint percpu:{tracepoint} that is known",
            "record without --percpu; `slabtrace account` shows the kernel's own count of per-CPU memory",
        )
    found = {"ptr": types.index("int") + 1}  # after the offset
    if tracepoint == FREE:
        return found
    sizes = [index for index, spelling in enumerate(types) if spelling == "size_t"]
    found |= {"bytes_req": sizes[0]} if sizes else {}
    found |= {"bytes_alloc": sizes[2]} if len(sizes) > 2 else {}
    found |= {"call_site": 0} if types[0] == "long unsigned int" else {}
    return found | ({"gfp_flags": types.index("gfp_t")} if "gfp_t" in types else {})
