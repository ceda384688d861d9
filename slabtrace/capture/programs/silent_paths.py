# SPDX-License-Identifier: Apache-2.0
"""The silent paths: which of them this kernel has, and which it lets slabtrace trace.

They are functions without a tracepoint (bpf/silent.h).  To trace them takes fentry and fexit programs: BTF, a
traceable function, and a kernel that permits it.  The manifest lists the paths that cannot be traced, with
the kernel's reason.
"""

from __future__ import annotations

import os
import platform
import struct
from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.kallsyms import function_spans
from slabtrace.capture.programs import bpf_syscall

# mov r0, 0; exit: the smallest program, to try whether the kernel accepts any
_NOTHING = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)


@dataclass(frozen=True)
class SilentPath:
    """A function that allocates or frees without a tracepoint.  `program` traces its entry or its exit.

    `outer`: a wrapper that may be between the function and its true caller.  `hides`: whether allocations or
    frees are missing if it is not traced; if False, the function only adds to what is traced anyway.
    """

    name: str
    functions: tuple[str, ...]  # by kernel: the first that exists
    at_exit: bool = False
    outer: str = ""
    hides: bool = True

    @property
    def program(self) -> str:
        """Name of its program in bpf/silent.h."""
        return f"on_{self.name}"


# bpf/cache_end.h.  All kernels have this function; it is called when nothing is left in a cache.
CACHE_END = SilentPath("cache_end", ("slab_kmem_cache_release",), hides=False)
# The _noprof names came with allocation profiling, 7bd230a26648 (6.10).  In 7.x kmalloc_nolock is
# _kmalloc_nolock_noprof, a wrapper of __kmalloc_nolock_noprof.  That one, which has other callers, is traced.
PATHS = (
    SilentPath("kmem_cache_alloc_bulk", ("kmem_cache_alloc_bulk_noprof", "kmem_cache_alloc_bulk"), True),
    SilentPath("kmem_cache_free_bulk", ("kmem_cache_free_bulk",)),
    SilentPath("kvfree_call_rcu", ("kvfree_call_rcu",)),
    SilentPath("kfree_call_rcu_nolock", ("kfree_call_rcu_nolock",)),
    SilentPath(
        "kmalloc_nolock",
        ("__kmalloc_nolock_noprof", "kmalloc_nolock_noprof"),
        at_exit=True,
        outer="_kmalloc_nolock_noprof",
    ),
    SilentPath("kfree_nolock", ("kfree_nolock",)),
    SilentPath(
        "wrong_cache_free", ("warn_free_bad_obj", "print_tracking"), outer="kmem_cache_free", hides=False
    ),
    CACHE_END,
)
# Not of a function but of a task: what process 1 does, and all interrupts of it, which may run RCU callbacks
# of others.  One kernel, made for small virtual machines, runs no program there and counts no miss, unless
# bpf_prog_aux.init_owned is set (so its code of bpf_trace_run3).  No distribution's kernel has the field.
PROCESS_1 = SilentPath("process_1", ())


def hides_process_1(btf: Btf) -> bool:
    """Does this kernel run no BPF program in process 1?"""
    return btf.has_field("bpf_prog_aux", "init_owned")


@dataclass(frozen=True)
class SilentCoverage:
    """Which paths can be traced, and what the programs must know about them.

    `watchable`: the BTF id of the function of each path that can be traced; `refused`: the kernel's reason
    for each other path that hides objects; `spans`: the addresses of functions by name (absent if the
    kernel hides them).
    """

    watchable: dict[SilentPath, int]
    refused: dict[SilentPath, str]
    spans: dict[str, range]
    functions: dict[SilentPath, str]
    kvfree_has_ptr: bool
    bulk_returns_bool: bool
    nolock_arguments: int
    atomics: bool

    def defines(self) -> dict[str, str | int | None]:
        """The -D options with which the programs of the watchable paths are compiled."""
        defines: dict[str, str | int | None] = {"NOLOCK_ARGUMENTS": self.nolock_arguments}
        for path in self.watchable:
            inner, outer = (self.spans.get(name, range(0)) for name in (self.functions[path], path.outer))
            defines[f"SILENT_{path.name}"] = None
            defines[f"FUNCTION_{path.name}"] = f"{inner.start:#x}ull"
            defines[f"OUTER_{path.name}"] = f"{outer.start:#x}ull"
            defines[f"SIZE_{path.name}"] = len(outer)
        features = {
            "KVFREE_RCU_HAS_PTR": self.kvfree_has_ptr,
            "BULK_ALLOC_RETURNS_BOOL": self.bulk_returns_bool,
            "WRONG_CACHE_NAMED": "warn_free_bad_obj" in self.functions.values(),
            "NO_ATOMICS": not self.atomics,
            "TRAMPOLINE_OF_X86": platform.machine() == "x86_64",
        }
        return defines | {name: None for name, present in features.items() if present}


def examine(btf: Btf) -> SilentCoverage:
    """Find the silent paths of this kernel, and try which of them it lets be traced."""
    watchable: dict[SilentPath, int] = {}
    refused: dict[SilentPath, str] = {}
    functions: dict[SilentPath, str] = {}
    for path in PATHS:
        ids = {name: btf.function(name) for name in path.functions}
        name, type_id = next(((n, found) for n, found in ids.items() if found is not None), ("", None))
        if type_id is None:
            continue  # this kernel has no such path
        reason = _refusal(path, type_id)
        if not reason:
            watchable[path], functions[path] = type_id, name
        elif path.hides:
            refused[path] = reason
    if hides_process_1(btf):
        refused[PROCESS_1] = "this kernel runs no program in process 1, nor in interrupts of it"
    outer = {path.outer for path in watchable}
    return SilentCoverage(
        watchable,
        refused,
        function_spans({*functions.values(), *outer}) if watchable else {},
        functions,
        kvfree_has_ptr=btf.function_arguments("kvfree_call_rcu")[1:] == ["void *"],
        bulk_returns_bool=btf.function_returns("kmem_cache_alloc_bulk_noprof") == "bool",
        nolock_arguments=len(btf.function_arguments("__kmalloc_nolock_noprof")) or 3,
        atomics=bpf_syscall.has_atomics(),
    )


def _refusal(path: SilentPath, type_id: int) -> str:
    """Why the kernel accepts no program for the path's function; "" if it does."""
    try:
        os.close(bpf_syscall.load_tracing(_NOTHING, path.at_exit, type_id, "slabtrace_probe"))
    except OSError as error:
        return (
            f"the kernel refuses an {'fexit' if path.at_exit else 'fentry'} program there ({error.strerror})"
        )
    return ""
