# SPDX-License-Identifier: Apache-2.0
"""Byte offsets that lead from a task to its cgroups and from one to the one above, from this kernel's BTF.

A task has a css_set: `dfl_cgrp` is its cgroup in cgroup2, and `subsys` has a state for each controller, which
leads to the cgroup in that controller's hierarchy (include/linux/cgroup-defs.h).
"""

from __future__ import annotations

from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf

# (name of the -D number, struct, field)
_FIELDS = (
    ("CGROUP_SELF", "cgroup", "self"),
    ("CSS_PARENT", "cgroup_subsys_state", "parent"),
    ("CSS_CGROUP", "cgroup_subsys_state", "cgroup"),
    ("CSS_SET_SUBSYS", "css_set", "subsys"),
)
# Of a hierarchy of version 1 with one of these controllers a task's cgroup can be read; the first counts.
CONTROLLERS = ("memory", "pids", "cpu", "devices", "freezer")
_POINTER = 8


@dataclass(frozen=True)
class CgroupShape:
    """The -D numbers of bpf/cgroup.h; `states`: where css_set has the state of each controller, bytes."""

    numbers: dict[str, int]
    states: dict[str, int]


def examine(btf: Btf) -> CgroupShape | None:
    """The running kernel's shape; None if its cgroups cannot be judged."""
    if not all(btf.has_field(struct, field) for _, struct, field in _FIELDS):
        return None
    numbers = {name: btf.offsetof(struct, field) for name, struct, field in _FIELDS}
    subsys, states = numbers.pop("CSS_SET_SUBSYS"), {}
    for controller in CONTROLLERS:
        at = btf.enum_value("cgroup_subsys_id", f"{controller}_cgrp_id")
        if at is not None:
            states[controller] = subsys + _POINTER * at
    return CgroupShape(numbers, states)
