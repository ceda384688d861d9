# SPDX-License-Identifier: Apache-2.0
"""Which processes have which files open, and what the files lead to: their private data, and files that an
io_uring instance has registered.

All of it is read from the kernel's own tables (task_struct.files), so it holds for every namespace.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import KERNEL, Scene
from slabtrace.capture.inspecting.kinds.tasks import task_name
from slabtrace.capture.inspecting.memory import Memory
from slabtrace.trace.format.batch import Int64, UInt64

_MOST_FDS = 1 << 20  # of one process that are looked at
_FLAGS = np.uint64(7)  # in the lower bits of pointers to files
_MOST_REGISTERED = 1 << 16


class Fd(NamedTuple):
    """An open file descriptor; `task`, `files`: the addresses of the task_struct and of its files_struct."""

    process: str
    fd: int
    task: int = 0
    files: int = 0


def pointers(memory: Memory, address: int, count: int) -> UInt64:
    """`count` words from `address` on; those that cannot be read are 0, and all where no pointer can be."""
    found: UInt64 = np.zeros(count, np.uint64)
    if address % 8:
        return found
    begin, length = np.array([address], np.uint64), np.array([count * 8], np.int64)
    for chunk in memory.chunks(begin, length):
        at = ((chunk.address - begin[0]) // np.uint64(8)).astype(np.int64)
        ends = np.append(chunk.first[1:], len(chunk.words))
        for first, last, to in zip(chunk.first.tolist(), ends.tolist(), at.tolist(), strict=True):
            found[to : to + last - first] = chunk.words[first:last]
    return found


class OpenFiles:
    """Who has a file open, by the address of the file."""

    def __init__(self, scene: Scene, tasks: UInt64, files: UInt64) -> None:
        """`tasks`, `files`: addresses of all task_structs and struct files in use."""
        self._scene = scene
        self._fds: dict[int, list[Fd]] = {}
        needed = ("task_struct.files", "files_struct.fdt", "fdtable.fd", "fdtable.max_fds")
        if scene.layout.has(*needed):
            self._read_tables(tasks)
        self._private: dict[int, int] = {}
        if scene.layout.has("file.private_data"):
            data = scene.words(files, "file.private_data")
            kernel = data > KERNEL
            pairs = zip(data[kernel].tolist(), files[kernel].tolist(), strict=True)
            self._private = dict(pairs)
        self._of_dentry: dict[int, int] = {}
        if scene.layout.has("file.f_path.dentry"):
            dentries = scene.words(files, "file.f_path.dentry")
            self._of_dentry = dict(zip(dentries.tolist(), files.tolist(), strict=True))
        self._registered: dict[int, int] = {}
        self._again: dict[int, set[int]] = {}
        self._of_mm: dict[int, int] = {}
        if scene.layout.has("task_struct.mm"):
            spaces = scene.words(tasks, "task_struct.mm").tolist()
            self._of_mm = {mm: task for mm, task in zip(spaces, tasks.tolist(), strict=True) if mm}

    def _read_tables(self, tasks: UInt64) -> None:
        scene = self._scene
        tables = scene.words(tasks, "task_struct.files")
        order = np.argsort(scene.words(tasks, "task_struct.group_leader") != tasks, kind="stable")
        seen = set[int]()
        for row in order.tolist():  # leaders first, so that a process is called by its leader
            files = int(tables[row])
            if files <= int(KERNEL) or files in seen:
                continue
            seen.add(files)
            table = scene.word(files, "files_struct.fdt")
            count = min(scene.half(table, "fdtable.max_fds"), _MOST_FDS)
            task = int(tasks[row])
            name = task_name(scene, task)
            opened = pointers(scene.memory, scene.word(table, "fdtable.fd"), count) & ~_FLAGS
            for fd in np.flatnonzero(opened).tolist():
                self._fds.setdefault(int(opened[fd]), []).append(Fd(name, fd, task, files))

    def fds(self, file: int) -> list[Fd]:
        """The file descriptors of a file."""
        return self._fds.get(file, [])

    def is_open(self, fd: Fd, file: int) -> bool:
        """Reads again: is this file open by this descriptor, and the process the same?"""
        scene = self._scene
        table = scene.word(scene.word(fd.files, "files_struct.fdt"), "fdtable.fd")
        opened = scene.memory.word(table + 8 * fd.fd) & ~int(_FLAGS)
        same = (
            scene.word(fd.task, "task_struct.files") == fd.files and task_name(scene, fd.task) == fd.process
        )
        return opened == file and same

    def task_of(self, mm: int) -> int:
        """A task whose address space (mm_struct) this is; 0 if there is none."""
        return self._of_mm.get(mm, 0)

    def has_mm(self, task: int, mm: int) -> bool:
        """Reads again: is this the address space of the task?"""
        return self._scene.word(task, "task_struct.mm") == mm

    def of_private(self, address: int) -> int:
        """The file whose private_data is an object; 0 if there is none."""
        return self._private.get(address, 0)

    def is_private(self, file: int, address: int) -> bool:
        """Reads again: is this the private data of the file?"""
        return self._scene.word(file, "file.private_data") == address

    def has_dentry(self, file: int, dentry: int) -> bool:
        """Reads again: is the file open by this dentry?"""
        return self._scene.word(file, "file.f_path.dentry") == dentry

    def of_dentry(self, dentry: int) -> int:
        """A file that is open by this dentry; 0 if there is none."""
        return self._of_dentry.get(dentry, 0)

    def register(self, rings: UInt64) -> None:
        """Read the files that these io_uring instances (files) have registered."""
        for file in rings.tolist():
            ring = self._scene.word(file, "file.private_data")
            for registered in registered_files(self._scene, ring).tolist():
                self._registered[registered] = file

    def is_registered(self, ring: int, file: int) -> bool:
        """Reads again: has the io_uring instance (a file) this file?"""
        if ring not in self._again:
            context = self._scene.word(ring, "file.private_data")
            self._again[ring] = set(registered_files(self._scene, context).tolist())
        return file in self._again[ring]

    def forget(self) -> None:
        """Forget what was read again, to read it once more."""
        self._again.clear()

    def ring_of(self, file: int) -> int:
        """The file of the io_uring instance in which a file is registered; 0 if there is none."""
        return self._registered.get(file, 0)


def registered_files(scene: Scene, ring: int) -> UInt64:
    """The files that an io_ring_ctx has registered, without duplicates."""
    at, memory = scene.layout, scene.memory
    found: Int64 | UInt64 = np.empty(0, np.uint64)
    if at.has("io_ring_ctx.nodes", "io_ring_ctx.nr", "io_rsrc_node.file_ptr"):
        count = min(scene.half(ring, "io_ring_ctx.nr"), _MOST_REGISTERED)
        nodes = pointers(memory, scene.word(ring, "io_ring_ctx.nodes"), count)
        found = scene.words(nodes[nodes > KERNEL], "io_rsrc_node.file_ptr")
    elif at.has("io_ring_ctx.files", "io_ring_ctx.nr_files"):
        count = min(scene.half(ring, "io_ring_ctx.nr_files"), _MOST_REGISTERED)
        found = pointers(memory, scene.word(ring, "io_ring_ctx.files"), count)
    return np.unique(found[found > KERNEL] & ~_FLAGS)
