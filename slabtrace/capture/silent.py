# SPDX-License-Identifier: Apache-2.0
"""The silent paths: which of them this kernel has, whether it lets them be watched, and watching them.

They are functions, not tracepoints (bpf/silent.h), so they need fentry and fexit programs: BTF, a
traceable function, and a kernel that permits it.  What cannot be watched is named in the manifest,
with the reason the kernel gave.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from slabtrace.capture import bpf_syscall
from slabtrace.capture.btf import Btf

# mov r0, 0; exit: the least program there is, to ask whether the kernel takes any
_NOTHING = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)


@dataclass(frozen=True)
class SilentPath:
    """A function that allocates or frees unseen.  `program` watches it, at its entry or its exit."""

    name: str
    functions: tuple[str, ...]  # by kernel: the first that exists
    at_exit: bool = False

    @property
    def program(self) -> str:
        """Name of its program in bpf/silent.h."""
        return f"on_{self.name}"


# The _noprof names came with allocation profiling, 7bd230a26648 (6.10).
PATHS = (
    SilentPath("kmem_cache_alloc_bulk", ("kmem_cache_alloc_bulk_noprof", "kmem_cache_alloc_bulk"), True),
    SilentPath("kmem_cache_free_bulk", ("kmem_cache_free_bulk",)),
    SilentPath("kvfree_call_rcu", ("kvfree_call_rcu",)),
    SilentPath("kmalloc_nolock", ("kmalloc_nolock_noprof", "_kmalloc_nolock_noprof"), True),
    SilentPath("kfree_nolock", ("kfree_nolock",)),
)


@dataclass(frozen=True)
class SilentCoverage:
    """`watchable`: the BTF id of each path's function; `refused`: the kernel's reason for each other."""

    watchable: dict[SilentPath, int]
    refused: dict[SilentPath, str]
    kvfree_has_ptr: bool
    bulk_returns_bool: bool
    atomics: bool

    def defines(self) -> dict[str, None]:
        """The -D names that compile the programs of the watchable paths."""
        defines: dict[str, None] = dict.fromkeys(f"SILENT_{path.name}" for path in self.watchable)
        if self.kvfree_has_ptr:
            defines["KVFREE_RCU_HAS_PTR"] = None
        if self.bulk_returns_bool:
            defines["BULK_ALLOC_RETURNS_BOOL"] = None
        if not self.atomics:
            defines["NO_ATOMICS"] = None
        return defines


def examine(btf: Btf) -> SilentCoverage:
    """Which silent paths this kernel has, and which of them it lets be watched."""
    watchable: dict[SilentPath, int] = {}
    refused: dict[SilentPath, str] = {}
    for path in PATHS:
        type_id = next((found for f in path.functions if (found := btf.function(f)) is not None), None)
        if type_id is None:
            continue  # this kernel has no such path
        reason = _refusal(path, type_id)
        if reason:
            refused[path] = reason
        else:
            watchable[path] = type_id
    return SilentCoverage(
        watchable,
        refused,
        kvfree_has_ptr=btf.function_arguments("kvfree_call_rcu")[1:] == ["void *"],
        atomics=bpf_syscall.has_atomics(),
        bulk_returns_bool=btf.function_returns("kmem_cache_alloc_bulk_noprof") == "bool",
    )


def _refusal(path: SilentPath, type_id: int) -> str:
    """Why the kernel takes no program there; "" if it does."""
    try:
        os.close(bpf_syscall.load_tracing(_NOTHING, path.at_exit, type_id, "slabtrace_probe"))
    except OSError as error:
        return f"the kernel refuses a program there ({error.strerror})"
    return ""
