# SPDX-License-Identifier: Apache-2.0
"""Where the arguments of tracepoints are, found by their C types: BTF has the types, but not the names.

Example: trace_mm_page_free(struct page *page, unsigned int order) gives {"page": 0, "order": 1}.
"""

from __future__ import annotations

from collections.abc import Mapping

from slabtrace.capture.kernel.btf import Btf
from slabtrace.errors import CaptureError

# For the kmem tracepoints type and order are enough: of two arguments of type size_t the first is bytes_req.
KMEM = {
    "long unsigned int": ["call_site"],
    "const void *": ["ptr"],
    "size_t": ["bytes_req", "bytes_alloc"],
    "gfp_t": ["gfp_flags"],
    "int": ["node"],
    "struct kmem_cache *": ["cache"],
    "const struct kmem_cache *": ["cache"],
    # 5.15 passes the name of the cache to kmem_cache_free (3544de8ee6e4): not needed, cache_of() finds it
    "const char *": ["name"],
}
_CGROUP = {"struct cgroup *": ["cgroup"], "const char *": ["path"]}
# The other tracepoints that programs are attached to, with the arguments that these programs use.
OTHERS: dict[str, dict[str, list[str]]] = {
    "mm_page_free": {"struct page *": ["page"], "unsigned int": ["order"]},
    "mm_page_alloc": {"struct page *": ["page"], "unsigned int": ["order"], "gfp_t": ["gfp_flags"]},
    "alloc_vmap_area": {"long unsigned int": ["addr", "size"], "int": ["failed"]},
    "free_vmap_area_noflush": {"long unsigned int": ["addr"]},
    "task_newtask": {
        "struct task_struct *": ["task"],
        "long unsigned int": ["flags"],
        "u64": ["flags"],  # as the kernel's clone_flags are from 6.18 on
    },
    "task_rename": {"struct task_struct *": ["task"], "const char *": ["comm"]},
    "sched_process_exec": {"struct task_struct *": ["task"], "struct linux_binprm *": ["binprm"]},
    "sched_process_exit": {"struct task_struct *": ["task"]},
    "cgroup_attach_task": _CGROUP | {"struct task_struct *": ["task"]},
    "cgroup_mkdir": _CGROUP,
    "cgroup_rmdir": _CGROUP,
}


def positions(types: list[str], names: Mapping[str, list[str]]) -> dict[str, int]:
    """{name: index} of the arguments of these types, in order; `names`: by C type, those of its arguments."""
    pools = {spelling: list(each) for spelling, each in names.items()}
    found: dict[str, int] = {}
    for index, spelling in enumerate(types):
        if pool := pools.get(spelling):
            found.setdefault(pool.pop(0), index)
    return found


def of_tracepoint(btf: Btf, tracepoint: str) -> dict[str, int] | None:
    """{name: index} of one of OTHERS; None if this kernel lacks the tracepoint, or one of the arguments."""
    types = btf.tracepoint_arguments(tracepoint)
    if types is None:
        return None
    found = positions(types, OTHERS[tracepoint])
    wanted = {name for names in OTHERS[tracepoint].values() for name in names}
    return found if wanted <= found.keys() else None


def defines(tracepoint: str, arguments: Mapping[str, int]) -> dict[str, int]:
    """The -D numbers of a tracepoint's arguments: ARG(tracepoint, name) in bpf/."""
    return {f"ARG_{tracepoint}_{name}": index for name, index in arguments.items()}


def unknown(tracepoint: str, types: list[str] | None) -> CaptureError:
    """The error for a tracepoint without the arguments that are needed."""
    return CaptureError(
        f"the tracepoint {tracepoint} of this kernel has arguments slabtrace does not know: "
        + ", ".join(types or ["none"]),
        "please report it with the output of `uname -r`",
    )
