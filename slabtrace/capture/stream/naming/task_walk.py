# SPDX-License-Identifier: Apache-2.0
"""Every task of the machine, read from the kernel's memory, as an alternative to /proc.

Events have numbers of the initial PID namespace.  A recorder in another one (a container) sees a /proc with
other numbers, so it takes names from here, and translates what it knows by number: --pid, its own, COMMAND's.

Tasks come and go while their lists are followed.  One that is read while it ends may lead nowhere; then the
list is followed again, and after the last try what was found so far counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from slabtrace.capture.kernel.task_shape import TaskShape
from slabtrace.capture.slabs.walk import SlabWalk

MOST = 1 << 20  # tasks; a bound, because a list may change while it is followed
_TRIES = 3
_COMM = 16


class Task(NamedTuple):
    """A thread: its numbers in the initial namespace, its name, and (address of a PID namespace, number
    there) from the initial namespace inwards."""

    tid: int
    tgid: int
    comm: str
    numbers: tuple[tuple[int, int], ...]


class TaskWalk:
    """Follows the lists of tasks.  `current`: the address of the task that runs this."""

    def __init__(self, walk: SlabWalk, shape: TaskShape, current: int) -> None:
        self._walk, self._shape, self._current = walk, shape, current

    def tasks(self) -> list[Task]:
        """Every thread of every process."""
        return [self._task(thread) for leader in self._leaders() for thread in self._threads(leader)]

    def namespaces(self) -> tuple[int, ...]:
        """Addresses of the PID namespaces of the task that runs this, the initial one first."""
        return tuple(ns for ns, _ in self._task(self._current).numbers)

    def _leaders(self) -> list[int]:
        return self._list(self._current + self._shape["tasks"], self._shape["tasks"], whole=True)

    def _threads(self, leader: int) -> list[int]:
        signal = self._walk.u64(leader + self._shape["signal"])
        head = signal + self._shape["thread_head"]
        return self._list(head, self._shape["thread_node"], whole=False) or [leader]

    def _list(self, head: int, link: int, whole: bool) -> list[int]:
        """The structs in a list, found by their `link`; with `whole` the one at `head` too."""
        found: list[int] = []
        for _ in range(_TRIES):
            found = [head - link] if whole else []
            node = self._walk.u64(head)
            while node not in (0, head) and len(found) < MOST:
                found.append(node - link)
                node = self._walk.u64(node)
            if node == head:
                break
        return found

    def _task(self, address: int) -> Task:
        shape, walk = self._shape, self._walk
        return Task(
            walk.u32(address + shape["pid"]),
            walk.u32(address + shape["tgid"]),
            walk.string(address + shape["comm"], _COMM),
            tuple(self._numbers(walk.u64(address + shape["thread_pid"]))),
        )

    def _numbers(self, pid: int) -> Iterator[tuple[int, int]]:
        """(namespace, number) of a struct pid, by level."""
        levels = self._walk.u32(pid + self._shape["level"]) + 1 if pid else 0
        size = self._shape.sizeof_upid
        raw = self._walk.read(pid + self._shape["numbers"], levels * size) if 0 < levels <= 33 else None
        for level in range(levels if raw else 0):
            (number,) = struct.unpack_from("<I", raw or b"", level * size + self._shape["nr"])
            (namespace,) = struct.unpack_from("<Q", raw or b"", level * size + self._shape["ns"])
            yield namespace, number
