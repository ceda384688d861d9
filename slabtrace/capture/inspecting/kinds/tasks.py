# SPDX-License-Identifier: Apache-2.0
"""Tasks and what belongs to a process: signal structs, timers, address spaces."""

from __future__ import annotations

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import KERNEL, Described, Kind, Owner, Scene, fits, narrow, none
from slabtrace.capture.inspecting.memory import Bools, strings
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.trace.format.batch import UInt64

_ZOMBIE, _DEAD = 0x20, 0x10  # EXIT_ZOMBIE, EXIT_DEAD of include/linux/sched.h
_MOST_PIDS = 1 << 22  # PID_MAX_LIMIT
_CLOCKS = {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 7: "CLOCK_BOOTTIME"}


class Task(Kind):
    """Threads: task_struct."""

    name, struct, caches = "task", "task_struct", ("task_struct",)
    needs = ("task_struct.pid", "task_struct.tgid", "task_struct.comm", "task_struct.signal",
             "task_struct.group_leader", "task_struct.exit_state", "task_struct.usage")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        leader = objects.u64(at["task_struct.group_leader"])
        looks: Bools = (leader > KERNEL) & (narrow(objects, at["task_struct.pid"], 4) <= _MOST_PIDS)
        return looks & scene.where.begins(leader)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        counts = objects.i32(at["task_struct.usage"]).tolist()
        states = narrow(objects, at["task_struct.exit_state"], 4).tolist()
        names = [task_name(scene, each) for each in objects.address.tolist()]
        return [
            Described(name + (", zombie" if state & _ZOMBIE else ", dead" if state & _DEAD else ""), count)
            for name, state, count in zip(names, states, counts, strict=True)
        ]

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        state = narrow(objects, scene.layout["task_struct.exit_state"], 4) & (_ZOMBIE | _DEAD)
        return state.astype(np.uint64)[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return {0: "threads", _ZOMBIE: "zombies"}.get(key[0], "dead threads")


def task_name(scene: Scene, task: int) -> str:
    """Command and pid of a thread, as "nginx (pid 812)"."""
    comm = strings(scene.memory, np.array([task + scene.layout["task_struct.comm"]], np.uint64), 16)[0]
    pid, tgid = (scene.half(task, f"task_struct.{each}") for each in ("pid", "tgid"))
    return f"{comm} (pid {tgid})" if pid == tgid else f"{comm} (thread {pid} of pid {tgid})"


class Signal(Kind):
    """What the threads of a process share: signal_struct.  It stays until all are gone."""

    name, struct, caches = "signal_struct", "signal_struct", ("signal_cache",)
    needs = ("signal.thread_head", "task_struct.thread_node", "task_struct.signal", "task_struct.comm",
             "signal_struct.sigcnt", "task_struct.pid", "task_struct.tgid")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        head = at["signal.thread_head"]
        if not fits(objects, head):
            return none(objects)
        first = objects.u64(head) - np.uint64(at["task_struct.thread_node"])
        looks: Bools = objects.u64(head) > KERNEL
        asked = np.flatnonzero(looks)
        looks[asked] = scene.words(first[asked], "task_struct.signal") == objects.address[asked]
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        counts = objects.i32(scene.layout["signal_struct.sigcnt"]).tolist()
        names = [task_name(scene, self._task(scene, each)) for each in objects.address.tolist()]
        return [Described(f"of {name}", count) for name, count in zip(names, counts, strict=True)]

    @staticmethod
    def _task(scene: Scene, signal: int) -> int:
        first = scene.word(signal, "signal.thread_head")
        return first - scene.layout["task_struct.thread_node"] if first else 0

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "processes"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        task = self._task(scene, address)
        right = task and scene.word(task, "task_struct.signal") == address
        return Owner(task, "of the process") if right else None


class Timer(Kind):
    """POSIX timers (timer_create): k_itimer."""

    name, struct, caches = "timer", "k_itimer", ("posix_timers_cache",)
    needs = ("k_itimer.it_signal", "k_itimer.it_id", "k_itimer.it_clock", "k_itimer.kclock",
             "signal.thread_head")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        if not fits(objects, at["k_itimer.it_signal"], at["k_itimer.kclock"]):
            return none(objects)
        signal = objects.u64(at["k_itimer.it_signal"]) & ~np.uint64(1)
        looks: Bools = scene.in_image(objects.u64(at["k_itimer.kclock"])) & (signal > KERNEL)
        return looks & scene.where.begins(signal)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        clocks = objects.i32(at["k_itimer.it_clock"]).tolist()
        numbers = objects.i32(at["k_itimer.it_id"]).tolist()
        return [Described(f"number {number} of {_CLOCKS.get(clock, f'clock {clock}')}")
                for clock, number in zip(clocks, numbers, strict=True)]  # fmt: skip

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        return (objects.u64(scene.layout["k_itimer.it_signal"]) & ~np.uint64(1))[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return f"timers of {task_name(scene, Signal._task(scene, key[0]))}"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        signal = scene.word(address, "k_itimer.it_signal") & ~1
        return Owner(signal, "timer of") if signal else None


class AddressSpace(Kind):
    """mm_struct; a process may be gone while something keeps its address space."""

    name, struct, caches = "address space", "mm_struct", ("mm_struct",)
    needs = ("mm_struct.mm_users", "mm_struct.mm_count", "mm_struct.pgd")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        looks: Bools = objects.u64(at["mm_struct.pgd"]) > KERNEL
        return looks & (objects.i32(at["mm_struct.mm_count"]) > 0)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        users = objects.i32(at["mm_struct.mm_users"]).tolist()
        counts = objects.i32(at["mm_struct.mm_count"]).tolist()
        owners = [scene.word(each, "mm_struct.owner") if at.has("mm_struct.owner") else 0
                  for each in objects.address.tolist()]  # fmt: skip
        return [
            Described(f"of {task_name(scene, owner)}" if owner and user else
                      "in use" if user else "of a process that is gone", count)
            for user, count, owner in zip(users, counts, owners, strict=True)
        ]  # fmt: skip

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        users = objects.i32(scene.layout["mm_struct.mm_users"])
        return (users > 0).astype(np.uint64)[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "of processes" if key[0] else "of processes that are gone"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        if not scene.layout.has("mm_struct.owner", "task_struct.mm"):
            return None
        task = scene.word(address, "mm_struct.owner")
        right = task and scene.word(task, "task_struct.mm") == address
        return Owner(task, "of the process") if right else None


class Mapping(Kind):
    """Parts of an address space: vm_area_struct.  One of a file holds it open."""

    name, struct, caches = "mapping", "vm_area_struct", ("vm_area_struct",)
    needs = ("vm_area_struct.vm_mm", "vm_area_struct.vm_start", "vm_area_struct.vm_end")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        begin, end = (objects.u64(at[f"vm_area_struct.{each}"]) for each in ("vm_start", "vm_end"))
        looks: Bools = (begin < end) & (end <= KERNEL)
        return looks & scene.where.begins(objects.u64(at["vm_area_struct.vm_mm"]))

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        ends = (objects.u64(at[f"vm_area_struct.{each}"]).tolist() for each in ("vm_start", "vm_end"))
        return [Described(f"{begin:x}-{end:x}") for begin, end in zip(*ends, strict=True)]

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        return objects.u64(scene.layout["vm_area_struct.vm_mm"])[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        owner = AddressSpace().owner(scene, key[0])
        return f"of {task_name(scene, owner.address)}" if owner else "of processes that are gone"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        return Owner(scene.word(address, "vm_area_struct.vm_mm"), "in the")
