# SPDX-License-Identifier: Apache-2.0
"""The processes and cgroups there are when the recording begins, from /proc and the cgroup file systems.

bpf/process.h records what begins later.  Files of proc: Documentation/filesystems/proc.rst; a cgroup's number
is the inode number of its directory (fs/kernfs), and /proc/PID/cgroup has its path in each hierarchy.  What
ends meanwhile is left out.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from slabtrace.capture.process.census import PARENT, START, stats

PROC = Path("/proc")
MOST_BYTES = 480  # of arguments, as many as of a process that begins later
DEFAULT = 0  # the hierarchy of cgroup2


class RunningProcess(NamedTuple):
    """A process; `cgroups`: (hierarchy, path) of each; `args`: each with a 0 byte at its end, perhaps cut."""

    started_ns: int  # CLOCK_MONOTONIC; negative if it began before the machine was last suspended for long
    tgid: int
    parent: int
    exe: str
    args: bytes
    pid_ns: int
    net_ns: int
    cgroups: list[tuple[int, str]]


class Hierarchy(NamedTuple):
    """A tree of cgroups: its number, what it controls, where it is mounted, and which cgroup is there."""

    number: int
    controllers: str
    mount: Path
    root: str


def running_processes(proc: Path = PROC) -> Iterator[RunningProcess]:
    """Every process that can be read."""
    suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    for tgid, fields in stats(proc):
        folder = proc / str(tgid)
        with suppress(OSError, ValueError):
            yield RunningProcess(
                started_ns=int(fields[START]) * tick_ns - suspended_ns,
                tgid=tgid,
                parent=int(fields[PARENT]),
                exe=_link(folder / "exe").removesuffix(" (deleted)"),
                args=_beginning(folder / "cmdline"),
                pid_ns=_namespace(folder / "ns/pid"),
                net_ns=_namespace(folder / "ns/net"),
                cgroups=[(number, path) for number, _, path in memberships(folder)],
            )


def hierarchies(proc: Path = PROC) -> list[Hierarchy]:
    """The hierarchies that are mounted here, the default one first."""
    number = {controllers: each for each, controllers, _ in memberships(proc / "self")}
    found = []
    for line in (proc / "self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        known = set(options.rpartition(" ")[2].split(","))
        root, mount = (_unescaped(each) for each in before.split(" ")[3:5])
        for controllers, each in number.items():
            if (kind == "cgroup2") == (not controllers) and set(controllers.split(",")) - {""} <= known:
                found.append(Hierarchy(each, controllers, Path(mount), root))
    return sorted(found)


def cgroup_number(hierarchy: Hierarchy, path: str) -> int:
    """The number of a cgroup, 0 where it cannot be seen: it is gone, or outside of what is mounted."""
    inner = path.removeprefix(hierarchy.root) if hierarchy.root != "/" else path
    try:
        return (hierarchy.mount / inner.lstrip("/")).stat().st_ino
    except OSError:
        return 0


def _link(path: Path) -> str:
    """Where a link points; empty for a kernel thread, or where that may not be known."""
    try:
        return os.fsencode(path.readlink()).decode(errors="backslashreplace")
    except OSError:
        return ""


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _namespace(path: Path) -> int:
    """The number in "net:[4026531840]", 0 where it may not be known."""
    number = _link(path).rpartition("[")[2].rstrip("]")
    return int(number) if number.isdecimal() else 0


def memberships(folder: Path) -> Iterator[tuple[int, str, str]]:
    """(hierarchy, controllers, path) of the process at /proc/PID."""
    with suppress(OSError):
        for line in (folder / "cgroup").read_bytes().decode(errors="backslashreplace").splitlines():
            number, controllers, path = line.split(":", 2)
            yield int(number), controllers, path.removesuffix(" (deleted)")


def _unescaped(text: str) -> str:
    """mountinfo has a space as \\040 (fs/proc_namespace.c: mangle)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
