# SPDX-License-Identifier: Apache-2.0
"""What happens while slabtrace records in a guest, in prime numbers.

The faults are functions of module/slabtrace_faults.c and module/memory_faults.h; the stacks in the trace show
their names.  What the trace must hold of them is in leak_checks.py, memory_checks.py and mismatch_checks.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LEFT = KEPT, EXCHANGED, PIPES, OPEN = 23, 1009, 101, 41  # the arguments of the leaver
FEWER = 29, 7, 5, 3
CGROUPS, WANTED, OTHER = "/run/cgroups", "lab-wanted", "lab-other"  # where they are mounted, and their names
SMALL, LARGE = 200, 32 << 10  # bytes asked for by the module


@dataclass(frozen=True)
class Fault:
    """A function of the module that is called for `count` objects and leaves `kept` of them.

    `bytes_req`: bytes requested for each.  `allocated`: how many allocations its call sites must show,
    0 for `count`.
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
    Fault("leak_after_reuse", 179, 179, 2 * SMALL, "slabtrace_after"),
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

LOST = ("leak_kmalloc", "leak_kzalloc", "leak_node", "leak_cache")  # the module forgets the only pointer

# Memory of no slab; `kept` and `allocated` are pages, and `bytes_req` is of a page.
PAGE = 4096
MEMORY_FAULTS = (
    Fault("leak_pages", 53, 2 * 53, PAGE, r"\(pages order 1\)", allocated=2 * 53),
    Fault("leak_of_split", 59, 59, PAGE, r"\(pages order 2\)", allocated=4 * 59),
    Fault("free_pages_whole", 61, 0, PAGE, r"\(pages order 1\)", allocated=2 * 61),
    Fault("free_pages_split", 67, 0, PAGE, r"\(pages order 2\)", allocated=4 * 67),
    Fault("leak_percpu", 71, 71, SMALL, r"\(percpu\)"),
    Fault("free_percpu_memory", 73, 0, SMALL, r"\(percpu\)"),
    Fault("leak_vmalloc", 79, 79, 3 * PAGE, r"\(vmalloc\)"),
    Fault("free_vmalloc", 83, 0, 3 * PAGE, r"\(vmalloc\)"),
)


@dataclass(frozen=True)
class BadFree:
    """A function of the module that frees wrongly `count` times; `kind` is what slabtrace must call it."""

    name: str
    count: int
    kind: str
    cache: str


BAD_FREES = (
    BadFree("bad_double_free", 17, "double-free", "slabtrace_double"),
    BadFree("bad_interior_free", 19, "invalid-free", "slabtrace_interior"),
    BadFree("bad_cache_free", 5, "wrong-cache-free", "slabtrace_wrong"),
)
OTHER_CACHE = "slabtrace_other"  # which bad_cache_free passes to kmem_cache_free
# What the kernel prints about a free to another cache, the only thing here that it warns of.
COMPLAINT = re.compile("kmem_cache_free|cache_from_obj|warn_free_bad_obj")
PANIC = "bad_panic 2"  # a double free that makes most kernels panic

# Continues when the host says that the wait is over (waits.py).  Reads no file of the trace.
_WAIT_FOR = """\
wait_for() {
	: >%(share)s/wait-$1
	until [ -e %(share)s/met-$1 ]; do /bin/busybox usleep 100000; done
}"""


def leaks_script(leaver: Path, module: Path, share: str) -> str:
    """What is allowed and what leaks.  The module is loaded late, and unloaded while its objects exist."""
    return _script(module, share, [_leave(leaver), *_FAULTS_DONE, "wait_for module", _unload(module)])


def inspected_script(leaver: Path, module: Path, share: str) -> str:
    """What is lost beside what is held, and no more: the first findings alone are inspected."""
    lost = [_do(f"{fault.name} {fault.count}") for fault in FAULTS if fault.name in LOST]
    return _script(module, share, [_leave(leaver), *lost, "wait_for module", _unload(module)])


def kept_script(leaver: Path, module: Path, share: str) -> str:
    """What is allowed and what leaks.  The module stays: other tools need it to name its functions."""
    return _script(module, share, [_leave(leaver), *_FAULTS_DONE, "wait_for module"])


def mismatches_script(module: Path, share: str) -> str:
    """What is wrong.  What may end the guest comes last, when the rest is on disk."""
    return _script(module, share, [*_BAD_DONE, "wait_for reported", "wait_for stored", _do(PANIC)])


def whole_script(leaver: Path, module: Path, share: str) -> str:
    """Both in one guest, without what may end it."""
    done = [_leave(leaver), *_FAULTS_DONE, *_BAD_DONE]
    return _script(module, share, [*done, "wait_for reported", "wait_for module", _unload(module)])


def cgroups_script(leaver: Path) -> str:
    """The leaver in a cgroup that is not wanted, then in one that is; both are made while recording."""
    lines = [f"mkdir {CGROUPS}/{OTHER} {CGROUPS}/{WANTED}"]
    for name, numbers in ((OTHER, FEWER), (WANTED, LEFT)):
        lines += [f"echo 0 >{CGROUPS}/{name}/cgroup.procs", " ".join(map(str, [leaver, *numbers]))]
    return "\n".join(lines) + "\n"


def _script(module: Path, share: str, lines: list[str]) -> str:
    first = [_WAIT_FOR % {"share": share}, "wait_for symbols", f"/bin/busybox insmod {module}"]
    return "\n".join([*first, *lines]) + "\n"


def _leave(leaver: Path) -> str:
    return " ".join(map(str, [leaver, *LEFT]))


def _unload(module: Path) -> str:
    return f"/bin/busybox rmmod {module.stem}"


def _do(order: str) -> str:
    return f"echo {order} > /proc/slabtrace_faults"


_FAULTS_DONE = [_do(f"{fault.name} {fault.count}") for fault in (*FAULTS, *MEMORY_FAULTS)]
_BAD_DONE = [_do(f"{bad.name} {bad.count}") for bad in BAD_FREES]
