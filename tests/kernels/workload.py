# SPDX-License-Identifier: Apache-2.0
"""What is done while slabtrace records in a guest, in prime numbers.

The faults are functions of module/slabtrace_faults.c; each is known in the trace by its name in the
stack.  What must be found of them is in leak_checks.py and mismatch_checks.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LEFT = KEPT, EXCHANGED, PIPES, OPEN = 23, 1009, 101, 41  # what the leaver is told
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
# What the kernel says of a free to another cache; of nothing else that is done, it complains.
COMPLAINT = re.compile("kmem_cache_free|cache_from_obj|warn_free_bad_obj")
PANIC = "bad_panic 2"  # a double free that most kernels notice and die of

# Loads the module once the manifest tells how many modules' functions are known.
_LOADED = """\
known() { grep -o '"modules": [0-9]*' %s/manifest.json; }
until known | grep -q '[1-9]'; do /bin/busybox usleep 100000; done
before=$(known)
/bin/busybox insmod %s"""
# Returns once the module's are.
_KNOWN = 'until [ "$(known)" != "$before" ]; do /bin/busybox usleep 100000; done'
# Returns once what happened is on disk, with the books of that second: the manifest's count of events
# has grown twice since.
_KEPT = """\
stored() { grep -o '"events": [0-9]*' %s/manifest.json | head -n 1; }
for turn in 1 2; do
	before=$(stored)
	until [ "$(stored)" != "$before" ]; do /bin/busybox usleep 100000; done
done"""
# Returns once the last of the wrong frees is stored: then `record` has said so.
_TOLD = "until grep -q wrong-cache-free %s/../record.stderr; do /bin/busybox usleep 100000; done"


def leaks_script(leaver: Path, module: Path, trace: str) -> str:
    """What is allowed, and what leaks.  The module comes late, and goes while its objects live."""
    return _script(module, trace, [_leave(leaver), *_FAULTS_DONE, _KNOWN, _unload(module)])


def mismatches_script(module: Path, trace: str) -> str:
    """What is wrong.  Last of all, when the rest is on disk, what may end the guest."""
    return _script(module, trace, [*_BAD_DONE, _TOLD % trace, _KEPT % trace, _do(PANIC)])


def whole_script(leaver: Path, module: Path, trace: str) -> str:
    """Both in one guest, without what may end it."""
    done = [_leave(leaver), *_FAULTS_DONE, *_BAD_DONE]
    return _script(module, trace, [*done, _TOLD % trace, _KNOWN, _unload(module)])


def _script(module: Path, trace: str, lines: list[str]) -> str:
    return "\n".join([_LOADED % (trace, module), *lines]) + "\n"


def _leave(leaver: Path) -> str:
    return " ".join(map(str, [leaver, *LEFT]))


def _unload(module: Path) -> str:
    return f"/bin/busybox rmmod {module.stem}"


def _do(order: str) -> str:
    return f"echo {order} > /proc/slabtrace_faults"


_FAULTS_DONE = [_do(f"{fault.name} {fault.count}") for fault in FAULTS]
_BAD_DONE = [_do(f"{bad.name} {bad.count}") for bad in BAD_FREES]
