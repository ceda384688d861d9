# SPDX-License-Identifier: Apache-2.0
"""--cgroup GLOB: which cgroups are judged, and the set of wanted ones that the programs ask (bpf/cgroup.h).

A task counts as wanted if its cgroup, or one above it, matches: in cgroup2, or in one hierarchy of
version 1, where containers are on machines that do not use cgroup2.  Of the hierarchies of
version 1 it is that of `memory` (cgroup_shape.CONTROLLERS): container managers and systemd use it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.kernel.cgroup_shape import CONTROLLERS, CgroupShape
from slabtrace.capture.process.cgroup_tree import cgroups_of
from slabtrace.capture.process.running import DEFAULT, PROC, Hierarchy, hierarchies
from slabtrace.capture.programs.glob_automaton import Glob
from slabtrace.capture.programs.loading import Programs
from slabtrace.errors import CaptureError, UsageError

MOST = 1 << 16  # wanted cgroups at a time

_NO_CGROUPS = (
    "--cgroup cannot be used: this kernel has no cgroups (CONFIG_CGROUPS), or its BTF does not describe them",
    "record without --cgroup; --pid N --follow and --comm GLOB choose tasks, too",
)
_NOT_MOUNTED = (
    "--cgroup cannot be used: no cgroup file system is mounted here, so which cgroups there are is not known",
    "mount -t cgroup2 none /sys/fs/cgroup; in a container, let it see the host's",
)


class CgroupFilter:
    """The wanted cgroups.  Raises CaptureError where the kernel has no cgroups, or none can be seen."""

    def __init__(self, glob: Glob, shape: CgroupShape | None, proc: Path = PROC) -> None:
        if shape is None:
            raise CaptureError(*_NO_CGROUPS)
        self._glob, self._shape = glob, shape
        self._unjudged: NDArray[np.uint64] | None = None
        mounted: list[Hierarchy] = []
        with suppress(OSError, ValueError):
            mounted = hierarchies(proc)
        self._first, self._controller = _of_version_1(mounted, shape)
        self.judged = [each for each in mounted if each.number in (DEFAULT, self._first)]
        if not self.judged:
            raise CaptureError(*_NOT_MOUNTED)

    def defines(self) -> dict[str, int]:
        """The -D numbers of bpf/cgroup.h."""
        numbers = {"CGROUP_WORDS": self._glob.words, "WANTED_CGROUPS": MOST, **self._shape.numbers}
        if self._first:
            numbers |= {"CGROUP1": self._first, "CGROUP1_CSS": self._shape.states[self._controller]}
        return numbers

    def set_glob(self, programs: Programs) -> None:
        """Give the programs the glob, before they are attached."""
        programs.set_bytes("cgroup_glob", self._glob.table().tobytes())
        self._unjudged = programs.mapped("cgroups_unjudged", "u8", 1)

    def fill(self, programs: Programs) -> None:
        """Give the programs the cgroups there are.  They add those that are made once they are attached.

        Raises UsageError if more than MOST match.
        """
        table = programs.table("wanted_cgroups")
        wanted = self.wanted()
        try:
            for hierarchy, number in wanted:
                table[table.Key(hierarchy, number)] = table.Leaf(1)
        except Exception as error:  # bcc's, if the map is full
            raise UsageError(
                f"--cgroup matches {len(wanted):,} cgroups, and the kernel has room for {MOST:,}",
                "use a glob that matches fewer, or record without it and use --cgroup when reading",
            ) from error

    def wanted(self) -> set[tuple[int, int]]:
        """(hierarchy, number) of each cgroup there is that matches."""
        return {
            (each.number, number)
            for each in self.judged
            for path, number in cgroups_of(each)
            if self._glob.matches_path(path)
        }

    @property
    def unjudged(self) -> int:
        """How many new cgroups could not be judged so far: there was no room, or the path was too long."""
        return 0 if self._unjudged is None else int(self._unjudged[0])


def _of_version_1(mounted: list[Hierarchy], shape: CgroupShape) -> tuple[int, str]:
    """The hierarchy of version 1 that counts, and a controller that it has; (0, "") if there is none."""
    for controller in CONTROLLERS:
        for each in mounted:
            if (
                each.number != DEFAULT
                and controller in shape.states
                and controller in each.controllers.split(",")
            ):
                return each.number, controller
    return 0, ""
