# SPDX-License-Identifier: Apache-2.0
"""What is done while slabtrace records in a guest, in prime numbers.

The faults are functions of module/slabtrace_faults.c; each is known in the trace by its name in the
stack.  What must be found of them is in leak_checks.py and mismatch_checks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KEPT, EXCHANGED, PIPES, OPEN = 23, 1009, 101, 41
SMALL, LARGE = 200, 32 << 10  # bytes asked for by the module


@dataclass(frozen=True)
class Fault:
    """A function of the module and what it must leave: `kept` objects of `bytes_req` bytes each.

    `allocated`: how many allocations its call sites must show, if not `count`.
    """

    name: str
    count: int
    kept: int
    bytes_req: int = SMALL
    cache: str = r"kmalloc-(rnd-\d+-)?256"
    allocated: int = 0


FAULTS = (
    Fault("leak_kmalloc", 101, 101),
    Fault("leak_kzalloc", 103, 103),
    Fault("leak_node", 107, 107),
    Fault("leak_large", 13, 13, LARGE, r"\(large kmalloc\)"),
    Fault("leak_cache", 109, 109, SMALL, "slabtrace_object"),
    Fault("leak_krealloc", 113, 113, allocated=226),
    Fault("leak_krealloc_in_place", 127, 127),
    Fault("free_kmalloc", 131, 0),
    Fault("free_rcu", 137, 0),
    Fault("free_bulk", 139, 0, cache="slabtrace_object"),
    Fault("free_bulk_singly", 149, 0, cache="slabtrace_object"),
    Fault("free_singly_bulk", 151, 0),
    Fault("free_softirq", 157, 0),
    Fault("free_hardirq", 163, 0),
    Fault("free_other_cpu", 167, 0),
    Fault("free_by_kfree", 173, 0, cache="slabtrace_object"),
)


@dataclass(frozen=True)
class BadFree:
    """A function of the module that frees wrongly `count` times, and what that is to be called."""

    name: str
    count: int
    kind: str
    cache: str


BAD_FREES = (
    BadFree("bad_double_free", 17, "double-free", "slabtrace_double"),
    BadFree("bad_interior_free", 19, "invalid-free", "slabtrace_interior"),
    BadFree("bad_cache_free", 5, "wrong-cache-free", "slabtrace_wrong"),
)
OTHER_CACHE = "slabtrace_other"  # that bad_cache_free names
PANIC = "bad_panic 2"  # a double free that most kernels notice and die of

_FAULTS = "/proc/slabtrace_faults"
# Returns once all that happened until now is stored: the manifest's count of stored events has grown
# twice since, and between two such counts lies a flush of everything.
_STORED = """\
stored() { grep -o '"events": [0-9]*' $1/manifest.json | head -n 1; }
for turn in 1 2; do
	before=$(stored {trace})
	until [ "$(stored {trace})" != "$before" ]; do usleep 100000; done
done
"""


def leaks_script(leaver: Path, module: Path) -> str:
    """What is allowed, and what leaks.  The module comes late, and goes while its objects live."""
    lines = [f"/bin/busybox insmod {module}", f"{leaver} {KEPT} {EXCHANGED} {PIPES} {OPEN}"]
    lines += [f"echo {fault.name} {fault.count} > {_FAULTS}" for fault in FAULTS]
    lines += [f"/bin/busybox rmmod {module.stem}"]
    return "\n".join(lines) + "\n"


def mismatches_script(module: Path, trace: str) -> str:
    """What is wrong.  Last of all, when the rest is on disk, what may end the guest."""
    lines = [f"/bin/busybox insmod {module}"]
    lines += [f"echo {bad.name} {bad.count} > {_FAULTS}" for bad in BAD_FREES]
    lines += [_STORED.replace("usleep", "/bin/busybox usleep").replace("{trace}", trace)]
    lines += [f"echo {PANIC} > {_FAULTS}"]
    return "\n".join(lines) + "\n"
