# SPDX-License-Identifier: Apache-2.0
"""All tasks of a made-up kernel, and the numbers that a recorder in a PID namespace sees."""

from __future__ import annotations

import struct
from typing import cast

import pytest

from slabtrace.capture.kernel.task_shape import TaskShape
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.capture.stream.naming import pids as pids_module
from slabtrace.capture.stream.naming.pids import Pids
from slabtrace.capture.stream.naming.task_walk import TaskWalk

OFFSETS = {
    "tasks": 0x10, "thread_node": 0x20, "thread_pid": 0x30, "signal": 0x38, "pid": 0x40, "tgid": 0x44,
    "comm": 0x48, "thread_head": 8, "level": 0, "numbers": 8, "nr": 0, "ns": 8,
}  # fmt: skip
SHAPE = TaskShape(OFFSETS, 16)
INITIAL, INNER = 0xA000, 0xB000  # PID namespaces


class Kernel:
    """Processes as (tid, comm, number in the inner namespace or 0), each with more threads."""

    def __init__(self, *processes: tuple[int, str, int, list[int]]) -> None:
        self.memory: dict[int, bytes] = {}
        self.at: dict[int, int] = {}
        leaders = [self._process(*each) for each in processes]
        self._link([leader + OFFSETS["tasks"] for leader in leaders])

    def _process(self, tgid: int, comm: str, inner: int, threads: list[int]) -> int:
        signal = 0x9_0000 + tgid * 0x100
        tasks = [self._task(tid, tgid, comm, inner, signal) for tid in (tgid, *threads)]
        self._link([signal + OFFSETS["thread_head"], *(task + OFFSETS["thread_node"] for task in tasks)])
        return tasks[0]

    def _task(self, tid: int, tgid: int, comm: str, inner: int, signal: int) -> int:
        task, pid = 0x1_0000 + tid * 0x100, 0x5_0000 + tid * 0x100
        numbers = [(tid, INITIAL), *([(inner + tid - tgid, INNER)] if inner else [])]
        self.memory[task + OFFSETS["pid"]] = struct.pack("<II", tid, tgid)
        self.memory[task + OFFSETS["tgid"]] = struct.pack("<I", tgid)
        self.memory[task + OFFSETS["comm"]] = comm.encode().ljust(16, b"\0")
        self.memory[task + OFFSETS["signal"]] = struct.pack("<Q", signal)
        self.memory[task + OFFSETS["thread_pid"]] = struct.pack("<Q", pid)
        self.memory[pid] = struct.pack("<I", len(numbers) - 1)
        self.memory[pid + 8] = b"".join(struct.pack("<IIQ", number, 0, ns) for number, ns in numbers)
        self.at[tid] = task
        return task

    def _link(self, nodes: list[int]) -> None:
        for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            self.memory[node] = struct.pack("<Q", following)

    def read(self, address: int, length: int) -> bytes | None:
        return self.memory.get(address, b"").ljust(length, b"\0")[:length] if address in self.memory else None

    def u64(self, address: int) -> int:
        return int(struct.unpack("<Q", self.read(address, 8) or bytes(8))[0])

    def u32(self, address: int) -> int:
        return int(struct.unpack("<I", self.read(address, 4) or bytes(4))[0])

    def string(self, address: int, limit: int) -> str:
        return (self.read(address, limit) or b"").split(b"\0")[0].decode()

    def walk(self, current: int) -> TaskWalk:
        return TaskWalk(cast("SlabWalk", self), SHAPE, self.at[current])


PROCESSES = (
    (0, "swapper/0", 0, []),
    (1, "init", 0, []),
    (500, "recorder", 1, [501, 502]),
    (600, "holder", 7, []),
    (700, "outside", 0, [701]),
)


def test_every_thread_of_every_process() -> None:
    found = Kernel(*PROCESSES).walk(500).tasks()
    names = {task.tid: (task.tgid, task.comm) for task in found}
    assert names == {
        0: (0, "swapper/0"), 1: (1, "init"), 500: (500, "recorder"), 501: (500, "recorder"),
        502: (500, "recorder"), 600: (600, "holder"), 700: (700, "outside"), 701: (700, "outside"),
    }  # fmt: skip
    assert len(found) == len(names)


def test_numbers_of_the_namespace_become_those_of_events() -> None:
    pids = Pids(Kernel(*PROCESSES).walk(500), initial=False)
    assert [pids.of_events(number) for number in (1, 7, 2, 99)] == [500, 600, 501, None]
    names = {(name.tid, name.comm, name.ts_ns) for name in pids.names(5)}
    assert {(700, "outside", 5), (600, "holder", 5), (0, "swapper", 5)} <= names
    assert pids.comm(600) == ""  # /proc would have another process of this number


def test_a_process_that_began_later_is_found() -> None:
    kernel = Kernel(*PROCESSES)
    pids = Pids(kernel.walk(500), initial=False)
    kernel.__init__(*PROCESSES, (800, "late", 9, []))  # type: ignore[misc]
    assert pids.of_events(9) == 800


def test_in_the_initial_namespace_nothing_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pids_module, "read_comm", lambda tid: f"task {tid}")
    pids = Pids(None, initial=True)
    assert pids.of_events(4711) == 4711 and pids.comm(4711) == "task 4711"


def test_tasks_that_cannot_be_read_have_no_names() -> None:
    pids = Pids(None, initial=False)
    assert pids.of_events(1) is None and [name.tid for name in pids.names(5)] == [0]


@pytest.mark.parametrize("broken", [0, 0xDEAD_0000])
def test_a_list_that_breaks_off_ends(broken: int) -> None:
    kernel = Kernel(*PROCESSES)
    kernel.memory[kernel.at[600] + OFFSETS["tasks"]] = struct.pack("<Q", broken)
    found = {task.tgid for task in kernel.walk(500).tasks()}
    assert {500, 600} <= found and 700 not in found
