# SPDX-License-Identifier: Apache-2.0
"""Which files are read for memory.arrow, how often at most, and what is made of each.

A source is read again after its period, or after COST_SHARE times what reading it took, whichever is longer:
the dear ones (vmallocinfo of a machine with 100,000 areas) are read rarely by themselves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slabtrace.capture.memory import texts
from slabtrace.capture.memory.texts import Counters
from slabtrace.capture.process.running import hierarchies

COST_SHARE = 500  # of the time at most one part in so many is spent on reading a source
# The sampler is called about once a second: the first of these is each time.
SECOND, OFTEN, RARELY = 400_000_000, 9_500_000_000, 59_500_000_000
MOST_BYTES = 64 << 20  # of a file
MOST_DIRECTORIES, WALK_S = 50_000, 0.25  # of cgroups


@dataclass(frozen=True)
class Source:
    """A file (or tree): `read` returns its counters.  Raises OSError, or ValueError with a reason."""

    name: str
    period_ns: int
    read: Callable[[], Counters]


def sources(proc: Path = Path("/proc"), alone: bool = False) -> list[Source]:
    """All sources; `alone`: nothing is recorded beside, so slabinfo is read too, and vmallocinfo often."""
    page = os.sysconf("SC_PAGE_SIZE")

    def file(path: str, period_ns: int, parse: Callable[[str], Counters]) -> Source:
        return Source(str(proc / path), period_ns, lambda: parse(text_of(proc / path)))

    found = [
        file("meminfo", SECOND, _own_meminfo(proc)),
        file("vmstat", SECOND, lambda text: texts.vmstat(text, page)),
        file("net/sockstat", SECOND, lambda text: texts.sockstat(text, page)),
        file("buddyinfo", OFTEN, lambda text: texts.buddyinfo(text, page)),
        file("zoneinfo", SECOND, lambda text: texts.zoneinfo(text, page)),
        file("vmallocinfo", SECOND if alone else RARELY, lambda text: texts.vmallocinfo(text, page)),
    ]
    if alone:
        found.append(file("slabinfo", SECOND, lambda text: texts.slabs(text, page)))
    return [*found, *_of_cgroups(proc)]


def text_of(path: Path) -> str:
    """The text of a file of /proc, or of a copy of one.  Raises OSError, ValueError if it is too long."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES >> 20} MiB")
    return content.decode(errors="backslashreplace")


def _own_meminfo(proc: Path) -> Callable[[str], Counters]:
    """/proc/meminfo, unless something is mounted over it: lxcfs does so in containers."""

    def read(text: str) -> Counters:
        mounts = text_of(Path("/proc/self/mountinfo")).splitlines()
        if any(line.split(" ")[4:5] == [str(proc / "meminfo")] for line in mounts):
            raise ValueError("something is mounted over it (lxcfs): it is not the kernel's own")
        return texts.meminfo(text)

    return read


def _of_cgroups(proc: Path) -> Iterator[Source]:
    """How many cgroups there are, and how many of them are dying: removed, but with memory still."""
    yield Source(str(proc / "cgroups"), SECOND, lambda: texts.proc_cgroups(text_of(proc / "cgroups")))
    try:
        trees = hierarchies(proc)
    except (OSError, ValueError):
        return
    for tree in trees:
        if not tree.controllers and tree.root == "/":
            path = tree.mount / "cgroup.stat"
            yield Source(str(path), SECOND, lambda path=path: texts.cgroup_stat(text_of(path)))  # type: ignore[misc]
        elif "memory" in tree.controllers.split(",") and tree.root == "/":
            yield Source(f"{tree.mount}/*", RARELY, lambda mount=tree.mount: _directories(mount, proc))  # type: ignore[misc]


def _directories(mount: Path, proc: Path) -> Counters:
    """How many memory cgroups of version 1 there are, and how many of them have a directory at that time.

    /proc/cgroups counts the dying ones too.  One that is removed while it is read has no directory.
    """
    number, until, waiting = 0, time.monotonic() + WALK_S, [str(mount)]
    while waiting:
        if number > MOST_DIRECTORIES or time.monotonic() > until:
            raise ValueError("too many directories to count")
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            waiting += [each.path for each in entries if each.is_dir(follow_symlinks=False)]
            number += 1
    every = texts.proc_cgroups(text_of(proc / "cgroups")).get("cgroups.memory", number)
    return {"cgroups.memory.directories": number, "cgroups.memory.dying": max(every - number, 0)}
