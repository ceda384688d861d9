# SPDX-License-Identifier: Apache-2.0
"""Which memory cgroup the running kernel charges: that of the tasks, another one, none; in prime counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.scan import scan
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.process.running import Hierarchy, hierarchies
from slabtrace.capture.slabs import charge_shape
from slabtrace.capture.slabs.charge_shape import ChargeShape
from slabtrace.errors import TraceError
from tests.live.conftest import PATIENCE_S, SLABTRACE, Recording, slabtrace_json, wait_for
from tests.live.messages import new_queue

PIPES, EVENTFDS, OPENED, CONNECTIONS, MESSAGES = 211, 101, 307, 43, 151
NOT_CHARGED = "(not charged)"
IN_OPEN = 0x20
OVERHEAD = 8  # bytes that the kernel charges for the entry of each object (mm/memcontrol.c: obj_full_size)
STOCK = 64 << 10  # bytes that CPUs may have in advance
MODULES = ("ctypes", "os", "socket", "sys", "time")


class Cgroup(NamedTuple):
    """`path`: as in /proc/PID/cgroup."""

    folder: Path
    path: str

    def usage(self) -> int:
        """Bytes of kernel memory that it is charged for, as the kernel says."""
        of_version_1 = self.folder / "memory.kmem.usage_in_bytes"
        if of_version_1.exists():
            return int(of_version_1.read_text())
        lines = (self.folder / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("slab "))

    @property
    def number(self) -> int:
        """That of its directory."""
        return self.folder.stat().st_ino

    def inner(self, name: str) -> Cgroup:
        made = Cgroup(self.folder / name, f"{self.path}/{name}")
        made.folder.mkdir()
        return made


def remove(folder: Path) -> None:
    """A process that was waited for may still be in it for a moment."""

    def removed() -> bool:
        with suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    wait_for(removed)


def memory_hierarchy() -> Hierarchy:
    """Where the controller "memory" is: in a hierarchy of version 1, or in cgroup2."""
    mounted = hierarchies()
    for each in mounted:
        if "memory" in each.controllers.split(","):
            return each
        available = each.mount / "cgroup.controllers"
        if not each.controllers and available.exists() and "memory" in available.read_text().split():
            with suppress(OSError):
                (each.mount / "cgroup.subtree_control").write_text("+memory")
            return each
    pytest.skip("no hierarchy with the controller memory is mounted")


@pytest.fixture
def cgroups() -> Iterator[tuple[Cgroup, Cgroup]]:
    """Two new memory cgroups beside each other."""
    top = memory_hierarchy()
    root = top.root.rstrip("/")
    names = [f"slabtrace-charged-{os.getpid()}-{each}" for each in "ab"]
    made = [Cgroup(top.mount / name, f"{root}/{name}") for name in names]
    try:
        for each in made:
            each.folder.mkdir()
        if not (made[0].folder / "memory.max").exists() and not top.controllers:
            pytest.skip("the controller memory cannot be enabled in cgroup2 here")
        yield made[0], made[1]
    finally:
        for each in made:
            if each.folder.exists():
                remove(each.folder)


class Worker(NamedTuple):
    """A process in a cgroup that does what it is asked to do."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def do(self, code: str) -> str:
        """Run one line of Python there; returns what it gives."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{code}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


# The process moves itself, so that none of its pages for this were touched elsewhere.
LOOP = f"""
import {", ".join(MODULES)}
libc, kept = ctypes.CDLL(None), []
open(sys.argv[1], "w").write(str(os.getpid()))
for line in sys.stdin: print(eval(line), flush=True)
"""


@contextmanager
def worker(cgroup: Cgroup) -> Iterator[Worker]:
    """It has ended when the block ends, and its files are closed."""
    argv = [sys.executable, "-c", LOOP, str(cgroup.folder / "cgroup.procs")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Worker(process)
        assert made.do("1") == "1"
        yield made
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)


@pytest.fixture
def recording(start_recording: Callable[..., Recording]) -> Recording:
    """A recording that has begun."""
    started = start_recording()
    wait_for(lambda: (started.trace / "manifest.json").exists() and started.manifest().coverage.attached)
    return started


Charged = dict[str, Counter[str]]


class Found(NamedTuple):
    """What is outstanding of one task: objects by cache or call site, then by charged cgroup; and bytes."""

    by_cache: Charged
    by_function: Charged
    bytes_charged: Counter[str]


def found(trace: Path, pid: int | None, since_ns: int = 0, until_ns: int = 1 << 62) -> Found:
    """Of the objects that `pid` (None: anybody) allocated within this time; "" stands for not known."""
    recorded = Recorded(trace)
    live = scan(recorded.events(), recorded.pairer(), [])
    mine = np.ones(live.size, np.bool_) if pid is None else live.tid == pid
    live = live.take(mine & (live.ts_ns >= since_ns) & (live.ts_ns < until_ns))
    caches, sites, charges = recorded.caches, recorded.sites, recorded.charges
    result = Found({}, {}, Counter())
    for site, to in zip(live.site.tolist(), charges.of(live).tolist(), strict=True):
        text = charges.text(to) if to >= 0 else ""
        function = recorded.symbols.name(int(sites["call_site"][site])).partition("+")[0]
        for table, key in (
            (result.by_cache, caches.names[caches.of_site[site]]),
            (result.by_function, function),
        ):
            table.setdefault(key, Counter())[text] += 1
        result.bytes_charged[text] += int(sites["bytes_alloc"][site]) + OVERHEAD
    return result


def end(recording: Recording, pid: int, function: str, objects: int) -> None:
    """End it when so many objects of this task and call site are stored: the check knows what is stored."""

    def stored() -> bool:
        with suppress(TraceError, ValueError):  # it is being written
            seen = found(recording.trace, pid).by_function
            return sum(seen.get(function, Counter[str]()).values()) >= objects
        return False

    wait_for(stored)
    status, stderr = recording.end()
    assert status == 0, stderr


def test_this_kernel_is_known() -> None:
    types = Btf()
    try:
        assert isinstance(charge_shape.examine(types), ChargeShape)
    finally:
        types.close()


def test_what_tasks_leave_is_charged_to_their_cgroup(
    recording: Recording, cgroups: tuple[Cgroup, Cgroup]
) -> None:
    """Pipes are charged, all of them; eventfds are not (fs/eventfd.c: kmalloc without __GFP_ACCOUNT)."""
    cgroup, _ = cgroups
    with worker(cgroup) as task:
        task.do("kept.append([os.pipe() for _ in range(20)])")  # what comes once for many
        before, began_ns = cgroup.usage(), time.monotonic_ns()
        task.do(f"kept.append([os.pipe() for _ in range({PIPES})])")
        ended_ns, after = time.monotonic_ns(), cgroup.usage()
        task.do(f"kept.append([libc.eventfd(0, 0) for _ in range({EVENTFDS})])")
        end(recording, task.pid, "do_eventfd", EVENTFDS)
        seen = found(recording.trace, task.pid, began_ns)
        pipes = found(recording.trace, task.pid, began_ns, ended_ns)
    assert pipes.by_cache["inode_cache"] == {cgroup.path: PIPES}
    assert pipes.by_function["alloc_pipe_info"] == {cgroup.path: 2 * PIPES}  # the pipe and its buffers
    assert pipes.by_cache["dentry"] == {cgroup.path: PIPES}
    assert pipes.by_cache["filp"] == {cgroup.path: 2 * PIPES}
    assert seen.by_function["do_eventfd"] == {NOT_CHARGED: EVENTFDS}
    # the kernel's own account of the cgroup grew by as much
    grown = pipes.bytes_charged[cgroup.path]
    assert grown > PIPES * 2000
    assert abs(after - before - grown) <= STOCK, (before, after, grown)
    rows = slabtrace_json("who", str(recording.trace), "--by", "charged")["who"]
    (row,) = [each for each in rows if each["name"] == cgroup.path]
    assert row["outstanding"] >= 6 * PIPES and task.pid in row["pids"]


def test_events_of_inotify_are_charged_to_who_watches(
    recording: Recording, cgroups: tuple[Cgroup, Cgroup], tmp_path: Path
) -> None:
    """The task that opens a file allocates the event (fs/notify/inotify: set_active_memcg)."""
    watching, opening = cgroups
    folder = tmp_path / "watched"
    folder.mkdir()
    for name in "01":
        (folder / name).touch()
    with ExitStack() as stack:
        watcher, opener = (stack.enter_context(worker(each)) for each in cgroups)
        watcher.do("kept.append(libc.inotify_init())")
        assert int(watcher.do(f"libc.inotify_add_watch(kept[0], {os.fsencode(folder)!r}, {IN_OPEN})")) > 0
        opener.do(f"[os.close(os.open(f'{folder}/{{at % 2}}', os.O_RDONLY)) for at in range({OPENED})]")
        end(recording, opener.pid, "inotify_handle_inode_event", OPENED)
        seen = found(recording.trace, opener.pid)
    assert seen.by_function["inotify_handle_inode_event"] == {watching.path: OPENED}
    findings = slabtrace_json("leaks", str(recording.trace))["findings"]
    (finding,) = [each for each in findings if opener.pid in each["pids"] and each["outstanding"] == OPENED]
    assert finding["charged"] == [
        {"cgroup": watching.path, "number": watching.number, "objects": OPENED, "tasks": [opening.path]}
    ]
    argv = [*SLABTRACE, "leaks", str(recording.trace), "--class", finding["class"], "-l0"]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    said = f"charged to memory cgroup {watching.path}, while the tasks were in {opening.path}"
    assert said in " ".join(shown.split())


def test_accepted_sockets_are_charged_to_who_accepts(
    recording: Recording, cgroups: tuple[Cgroup, Cgroup]
) -> None:
    """The softirq that makes one runs on the task that connects; accept charges it (__inet_accept)."""
    accepting, connecting = cgroups
    later = " kmem_cache_charge\n" in Path("/proc/kallsyms").read_text()  # what is allocated can be charged
    of_version_1 = accepting.folder / "memory.kmem.tcp.limit_in_bytes"
    if of_version_1.exists():
        of_version_1.write_text(str(1 << 40))  # any limit makes the kernel charge sockets
    with ExitStack() as stack:
        server, client = (stack.enter_context(worker(each)) for each in cgroups)
        server.do("kept.append(socket.create_server(('127.0.0.1', 0), backlog=100))")
        address = ("127.0.0.1", int(server.do("kept[0].getsockname()[1]")))
        client.do(f"kept.extend(socket.create_connection({address}) for _ in range({CONNECTIONS}))")
        server.do(f"kept.extend(kept[0].accept() for _ in range({CONNECTIONS}))")
        server.do("kept.append(libc.eventfd(0, 0))")  # stored last
        end(recording, server.pid, "do_eventfd", 1)
        charged = found(recording.trace, None).by_cache["TCP"]
        of_client = found(recording.trace, client.pid).by_cache["TCP"]
    assert charged[accepting.path] == 1 + CONNECTIONS * later  # the one that listens, too
    assert charged[connecting.path] == CONNECTIONS
    # under load a few of them are made in the softirq of another task
    assert CONNECTIONS < of_client.total() <= 2 * CONNECTIONS


def test_what_a_removed_cgroup_was_charged_for_is_charged_to_its_parent(
    recording: Recording, cgroups: tuple[Cgroup, Cgroup]
) -> None:
    outer, _ = cgroups
    if not (outer.folder / "memory.kmem.usage_in_bytes").exists():
        (outer.folder / "cgroup.subtree_control").write_text("+memory")
    inner = outer.inner("gone")
    with new_queue() as queue:
        with worker(inner) as sender:
            sent = f"libc.msgsnd({queue}, ctypes.create_string_buffer(b'x' * 80), 64, 0)"
            sender.do(f"[{sent} for _ in range({MESSAGES})]")
        remove(inner.folder)
        end(recording, sender.pid, "load_msg", MESSAGES)
    seen = found(recording.trace, sender.pid)
    assert seen.by_function["load_msg"] == {outer.path: MESSAGES}
    rows = slabtrace_json("leaks", str(recording.trace), "--pid", str(sender.pid))["findings"]
    (finding,) = [each for each in rows if each["outstanding"] == MESSAGES]
    (entry,) = finding["charged"]
    assert (entry["cgroup"], entry["objects"], entry["tasks"]) == (outer.path, MESSAGES, [inner.path])
