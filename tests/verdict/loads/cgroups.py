# SPDX-License-Identifier: Apache-2.0
"""Control groups: kept, removed, and removed but not gone.  All below one directory of the load's own."""

from __future__ import annotations

import contextlib
import os

from tests.verdict.loads.load import Load

_UNIFIED = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
_MEMORY = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")


def _first(places: tuple[str, ...]) -> str:
    return next(each for each in places if os.path.exists(f"{each}/cgroup.procs"))


class Directories(Load):
    """R2: control groups that nobody removes."""

    rate = 4.0
    places = _UNIFIED

    def setup(self) -> None:
        self.top = f"{_first(self.places)}/verdict-{os.getpid()}"
        os.mkdir(self.top)
        self.undo.callback(self._remove_all)

    def _remove_all(self) -> None:
        for name in os.listdir(self.top):
            with contextlib.suppress(OSError):
                os.rmdir(f"{self.top}/{name}")
        os.rmdir(self.top)

    def step(self, since: float) -> int:
        os.mkdir(f"{self.top}/{self.stamp()}")
        return 1


class DirectoryChurn(Directories):
    """Control groups made and removed in equal number: 20 are there, the oldest goes."""

    def setup(self) -> None:
        super().setup()
        self.names: list[str] = []
        for _ in range(20):
            self._one()

    def _one(self) -> None:
        self.names.append(self.stamp())
        os.mkdir(f"{self.top}/{self.names[-1]}")

    def step(self, since: float) -> int:
        os.rmdir(f"{self.top}/{self.names.pop(0)}")
        self._one()
        return 0


class DyingGroups(Directories):
    """R1: a memory control group is removed, but a file in memory that was written in it holds it."""

    rate = 2.0
    places = _MEMORY
    kept = True

    def setup(self) -> None:
        super().setup()
        self.files = self.folder("/dev/shm")

    def step(self, since: float) -> int:
        group, path = f"{self.top}/{self.stamp()}", f"{self.files}/{self.stamp()}"
        os.mkdir(group)
        self.in_a_child(lambda: self._write(group, path))
        os.rmdir(group)
        if not self.kept:
            os.unlink(path)
        return 1 if self.kept else 0

    def _write(self, group: str, path: str) -> None:
        with open(f"{group}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        with open(path, "wb") as file:
            file.write(bytes(4096))


class GoneGroups(DyingGroups):
    """The same, with the file removed: the group goes."""

    kept = False
