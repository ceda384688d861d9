# SPDX-License-Identifier: Apache-2.0
"""What a reader of a format gives: batches of records, the texts they refer to, facts about the recording.

A record is one kmem event.  What repeats (its fields without the pointer, its task, its stack) is parsed once
and referred to by number, so that no line of a long text costs Python code of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.format.schema import Kind

KINDS = {
    "kmalloc": Kind.KMALLOC,
    "kmalloc_node": Kind.KMALLOC,
    "kmem_cache_alloc": Kind.CACHE_ALLOC,
    "kmem_cache_alloc_node": Kind.CACHE_ALLOC,
    "kfree": Kind.KFREE,
    "kmem_cache_free": Kind.CACHE_FREE,
}
NO_TIME = -1  # of a record without one: it happened right after the record before
NO_CPU = -1
NOT_KMEM = -1  # instead of the number of a site
EXAMPLES = 3  # rejected lines that are kept to be shown
EXAMPLE_BYTES = 160
MOST_LOST = 100_000  # losses kept one by one; later ones are added to the last


class Symbol(NamedTuple):
    """A place in the kernel's code by name.  `module`: empty for the kernel itself."""

    name: str
    offset: int = 0
    module: str = ""


class Site(NamedTuple):
    """All of an event but its pointer, time, task and CPU.

    `event`: a key of KINDS.  `address`: of the call site; 0: only its `symbol` is known.  `bytes_alloc`: 0 if
    the text is cut.  `gfp_flags`: bits of current kernels if they were `gfp_named`, else as recorded.
    `cache`: its name, empty if the event has none.
    """

    event: str
    address: int = 0
    symbol: Symbol | None = None
    bytes_req: int = 0
    bytes_alloc: int = 0
    gfp_flags: int = 0
    gfp_named: bool = True
    node: int = -1
    cache: str = ""
    accounted: bool | None = None


class Task(NamedTuple):
    """Who was running.  `tgid` 0: not recorded.  `comm` empty: not known."""

    tid: int = 0
    tgid: int = 0
    comm: str = ""


class Frame(NamedTuple):
    """A frame of a stack; `address` 0: only its `symbol` is known, and the other way round."""

    address: int = 0
    symbol: Symbol | None = None


class Records(NamedTuple):
    """n records in the order of the file, all columns of shape (n,).

    `ts_ns`: of the recording's own clock, NO_TIME where there is none.  `site`, `task`, `stack`: numbers of
    Texts; task and stack are -1 where there is none.  `cpu`: NO_CPU where it is not recorded.
    """

    ts_ns: NDArray[np.int64]
    ptr: NDArray[np.uint64]
    site: NDArray[np.int64]
    task: NDArray[np.int64]
    cpu: NDArray[np.int32]
    stack: NDArray[np.int64]

    @property
    def size(self) -> int:
        """The number of records."""
        return len(self.ts_ns)

    def take(self, index: NDArray[Any] | slice) -> Records:
        """The records at `index`."""
        ts_ns, ptr, site, task, cpu, stack = self
        return Records(ts_ns[index], ptr[index], site[index], task[index], cpu[index], stack[index])

    def joined(self, others: Records) -> Records:
        """These records, then the others."""
        return Records(*(np.concatenate([a, b]) for a, b in zip(self, others, strict=True)))


def made(rows: Sequence[tuple[int, ...]]) -> Records:
    """Records of rows."""
    types = (np.int64, np.uint64, np.int64, np.int64, np.int32, np.int64)
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return Records(*(np.array(column, kind) for column, kind in zip(columns, types, strict=True)))


class Texts:
    """What records refer to by number: sites, tasks and stacks, each once."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.tasks: list[Task] = []
        self.stacks: list[tuple[Frame, ...]] = []
        self._site: dict[Site, int] = {}
        self._task: dict[Task, int] = {}
        self._stack: dict[tuple[Frame, ...], int] = {}

    def site(self, site: Site) -> int:
        """The number of a site."""
        return _number(self.sites, self._site, site)

    def task(self, task: Task) -> int:
        """The number of a task."""
        return _number(self.tasks, self._task, task)

    def stack(self, frames: tuple[Frame, ...]) -> int:
        """The number of a stack, innermost frame first; -1 if it has none."""
        return _number(self.stacks, self._stack, frames) if frames else -1


def _number(every: list, known: dict, one: object) -> int:  # type: ignore[type-arg]
    number = known.setdefault(one, len(every))
    if number == len(every):
        every.append(one)
    return int(number)


class Lost(NamedTuple):
    """Events that the recording says it lost between two times, on `cpu` (-1: any); `events` 0: not known."""

    begin_ns: int
    end_ns: int
    cpu: int
    events: int
    marker: str


@dataclass
class Facts:
    """What a reader noticed of the recording as a whole.

    `tool`: what recorded it.  `lines`, `rejected`: of text, and how many look like kmem events and are not
    (`examples`).  `events`: of any kind.  `cut`: kmem events whose line is not whole.  `cpus`: on which there
    was an event of any kind; `cpus_declared`: how many the recording says there are (0: it does not say);
    `cpus_empty`: said to have recorded nothing.  `entries`: events in the buffer, and ever written to it.
    `cpus_asked`: those that were to be recorded, if not all; `sampled`: not every event was.
    `losses_told`: the reader would have seen a loss if there was one.  `hashed`, `real`: pointers that are
    hashes, and that are addresses.  `enabled`: kmem events that were recorded, None if that is not said.
    `filters`: as the recording names them.  `clock`: its name.  `backwards`: how often time went back.
    `notes`: sentences for the user.
    """

    tool: str = ""
    lines: int = 0
    events: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)
    cut: int = 0
    cpus: set[int] = field(default_factory=set)
    cpus_declared: int = 0
    cpus_empty: set[int] = field(default_factory=set)
    cpus_asked: set[int] | None = None
    sampled: bool = False
    entries: tuple[int, int] | None = None
    losses_told: bool = False
    lost: list[Lost] = field(default_factory=list)
    hashed: int = 0
    real: int = 0
    release: str = ""
    hostname: str = ""
    machine: str = ""
    enabled: list[str] | None = None
    filters: list[str] = field(default_factory=list)
    clock: str = ""
    tasks_derived: bool = False
    notes: list[str] = field(default_factory=list)

    def lose(self, lost: Lost) -> None:
        """Note a loss."""
        if len(self.lost) < MOST_LOST:
            self.lost.append(lost)
            return
        last = self.lost[-1]
        events, end_ns = last.events + lost.events, max(last.end_ns, lost.end_ns)
        self.lost[-1] = Lost(min(last.begin_ns, lost.begin_ns), end_ns, -1, events, lost.marker)

    def reject(self, line: bytes) -> None:
        """Count a line that is refused, and keep the first ones."""
        self.rejected += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(line[:EXAMPLE_BYTES].decode(errors="backslashreplace").strip())
