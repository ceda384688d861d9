# SPDX-License-Identifier: Apache-2.0
"""The options of `record`: checked, and turned into -D numbers for the programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from slabtrace.capture.budget import COUNTING
from slabtrace.capture.process.memory_limit import usable_memory
from slabtrace.capture.process.privileges import Capability
from slabtrace.capture.programs.glob_automaton import cgroup_glob, comm_glob
from slabtrace.errors import UsageError
from slabtrace.trace.format.sample import COARSEST_SAMPLE

DEFAULT_BUFFER_MIB = 64  # per CPU: a million events, a third of a second at the highest rate seen
SURVIVORS_BUFFER_MIB = 8  # only events of objects that grow old pass through the rings
BUFFER_SHARE = 16  # without --buffer, all buffers together take at most 1/16 of the memory
MAX_SIZE = 0xFFFF_FFFF
STACK_BUCKETS = 1 << 16  # of the first stack map (bpf/stack.h), and less where memory is small
STACK_BYTES = 1040  # of a bucket: 127 frames, and what the kernel keeps with them
STACK_SHARE = 32  # the stack maps take at most 1/32 of the memory
LIVE_OBJECTS = 1_000_000  # without --live-objects, the live table has room for so many, if memory allows
LONGEST_INSPECTION_S = 600.0
LIVE_SET_BYTES, LIVE_WAYS = 256, 7  # of a set of the table: with two sets for eight objects, few are full
COUNTED_KINDS = 1 << 14
THRESHOLD_S = (0.05, 120.0)  # the histogram has lifetimes up to 194 s
AUTO = "auto"  # all twins, but none where a sample is recorded
_TWINS = {"none": 0, "frees": 1, "all": 3}  # bits of TWINS in bpf/twin.h


@dataclass(frozen=True)
class CaptureOptions:
    """Options of a recording.  Sizes in bytes, `buffer_mib` in MiB per CPU.

    `buffer_mib` None means DEFAULT_BUFFER_MIB, less where memory is small.  In the mode "survivors" objects
    that are freed at an age below `threshold_s` are only counted, and the table of live objects has room
    for `live_objects` (None: LIVE_OBJECTS, less where memory is small).

    Raises UsageError for a value that is out of range, or contradicts another.
    """

    mode: str = "events"  # or "survivors"
    threshold_s: float = 1.0
    live_objects: int | None = None
    sample: int = 1  # one in so many addresses, a power of two
    budget: float | None = None  # share of all CPUs' time that the recording may cost (budget.py)
    stacks: str = "all"  # "none", "auto" (bpf/stack_budget.h) or "all"
    cache: tuple[str, ...] = ()
    min_size: int | None = None
    max_size: int | None = None
    pid: int | None = None
    percpu: bool = False  # also per-CPU memory
    pages: bool = False  # also pages that the kernel allocates for itself
    vmalloc: bool = False  # also areas of vmalloc
    follow: bool = False  # also what `pid` has started, and will start
    comm: str | None = None
    cgroup: str | None = None
    buffer_mib: int | None = None
    inspect_s: float = 0.0  # at the end, what some objects are and who holds them is read so long; 0: not
    inspect_cpu: float = 0.5  # of one CPU
    twins: str = AUTO  # or "none", "frees", "all": which tracepoints have a twin program
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.min_size or 0) > (MAX_SIZE if self.max_size is None else self.max_size):
            raise UsageError(f"--min-size {self.min_size} is more than --max-size {self.max_size}")
        if self.follow and self.pid is None:
            raise UsageError("--follow needs the process whose descendants are meant", "add --pid N")
        self._check_other_memory()
        if self.comm is not None:
            comm_glob(self.comm)
        if self.cgroup is not None:
            cgroup_glob(self.cgroup)
        if not THRESHOLD_S[0] <= self.threshold_s <= THRESHOLD_S[1]:
            raise UsageError("--threshold must be between {:g} s and {:g} s".format(*THRESHOLD_S))
        if not 1 <= self.sample <= COARSEST_SAMPLE or self.sample & (self.sample - 1):
            raise UsageError(
                f"--sample must be 1/N, with N a power of two up to {COARSEST_SAMPLE}",
                "for example --sample 1/16",
            )
        if self.budget is not None and not 0 < self.budget < 1:
            raise UsageError(
                "--budget must be more than 0 % and less than 100 % of all CPUs' time",
                "for example --budget 2%",
            )
        if not 0 <= self.inspect_s <= LONGEST_INSPECTION_S or not 0 < self.inspect_cpu <= 1:
            raise UsageError(
                f"--inspect takes up to {LONGEST_INSPECTION_S:g} s, and --inspect-cpu up to 100%",
                "for example --inspect 5s --inspect-cpu 50%",
            )
        self._check_live_table()

    def _check_other_memory(self) -> None:
        """Memory that is of no slab: --percpu, --pages, --vmalloc."""
        what = {"percpu": "per-CPU memory is", "pages": "pages are", "vmalloc": "areas of vmalloc are"}
        for name, says in what.items():
            if getattr(self, name) and self.cache:
                raise UsageError(
                    f"--{name} does not go with --cache: {says} of no slab cache",
                    f"leave out one of them; `slabtrace leaks --cache '({name}*'` chooses when reading",
                )
        if self.pages and (self.survivors or self.sample > 1 or self.budget is not None):
            raise UsageError(
                "--pages does not go with --mode survivors, --sample and --budget: the kernel may split a "
                "block of pages, and then frees each page by itself",
                "leave out one of them",
            )

    def _check_live_table(self) -> None:
        if self.live_sets * LIVE_SET_BYTES > usable_memory() // 4:
            raise UsageError(
                f"a table for {self.live_objects:,} live objects takes more than a quarter of the memory",
                f"use at most --live-objects {usable_memory() // LIVE_SET_BYTES // 2}; objects without a "
                "place in the table are recorded event by event",
            )

    @property
    def privileges(self) -> frozenset[Capability]:
        """Capabilities that this recording needs in addition to those of every recording."""
        return COUNTING if self.budget is not None else frozenset()

    @property
    def survivors(self) -> bool:
        """Is it survivors mode, in which the kernel pairs allocations and frees?"""
        return self.mode == "survivors"

    @property
    def threshold_ns(self) -> int:
        """The age (ns) below which a freed object is only counted."""
        return int(self.threshold_s * 1e9)

    @property
    def live_sets(self) -> int:
        """Sets of bpf/live_table.h, a power of two: a quarter to half of the objects."""
        wanted = self.live_objects or min(LIVE_OBJECTS, usable_memory() // 16 // LIVE_SET_BYTES)
        return int(1 << max(8, (wanted // 4 - 1).bit_length()))

    @property
    def stack_buckets(self) -> int:
        """Buckets of the first stack map (bpf/stack.h), a power of two; all three have less than twice it."""
        room = usable_memory() // STACK_SHARE // (2 * STACK_BYTES)
        return int(min(STACK_BUCKETS, 1 << max(10, room.bit_length() - 1)))

    @property
    def default_buffer_mib(self) -> int:
        """MiB of ring per CPU where `buffer_mib` is None."""
        return SURVIVORS_BUFFER_MIB if self.survivors else DEFAULT_BUFFER_MIB

    @property
    def filtered(self) -> bool:
        """Is any filter set?"""
        by_task = self.comm is not None or self.cgroup is not None or self.pid is not None
        return bool(self.cache or by_task or self._by_size)

    def twin_of(self, tracepoint: str) -> bool:
        """Has this tracepoint a twin program?"""
        return self._twins == "all" or (self._twins == "frees" and "free" in tracepoint)

    @property
    def _twins(self) -> str:
        """`twins`, or what "auto" means.

        Twins of a sample cost as much as those of a whole recording, because they are called for each event,
        but of 1/64 they recover a 64th of the events (docs/cost.md).
        """
        if self.twins != AUTO:
            return self.twins
        return "none" if self.sample > 1 or self.budget is not None else "all"

    @property
    def _by_size(self) -> bool:
        return self.min_size is not None or self.max_size is not None

    def defines(self) -> dict[str, int | str | None]:
        """The -D options for bpf/ that these options need."""
        defines: dict[str, int | str | None] = {}
        defines["TWINS"] = _TWINS[self._twins]
        if self.sample > 1 or self.budget is not None:
            defines["SAMPLE"] = None
        if self.budget is not None:
            defines["BUDGETED"] = None
        if self.stacks != "none":
            defines |= {"STACKS": None, "STACK_BUCKETS": self.stack_buckets}
        if self.stacks == "auto":
            defines["STACKS_AUTO"] = None
        if self.survivors:
            defines |= {
                "SURVIVORS": None,
                "LIVE_SETS": self.live_sets,
                "COUNTED_KINDS": COUNTED_KINDS,
                "THRESHOLD_NS": f"{self.threshold_ns}ul",
            }
        return defines | self._filters()

    def _filters(self) -> dict[str, int | str | None]:
        """The -D options of bpf/filter.h."""
        defines: dict[str, int | str | None] = {}
        if self.follow:
            defines |= {"FILTER_TGID": None, "FOLLOWED": None, "FOLLOW": None}
        elif self.pid is not None:
            defines["FILTER_TGID"] = self.pid
        if self._by_size:
            high = MAX_SIZE if self.max_size is None else self.max_size
            defines |= {
                "FILTER_SIZE": None,
                "FILTER_MIN_SIZE": self.min_size or 0,
                "FILTER_MAX_SIZE": f"{high}ul",
            }
        if self.comm is not None:
            defines["FILTER_COMM"] = None
        if self.cgroup is not None:
            defines["FILTER_CGROUP"] = None
        if self.cache:
            defines["FILTER_CACHE"] = None
        return defines

    def to_manifest(self) -> dict[str, Any]:
        """The options as they are stored in the manifest."""
        content = {name: value for name, value in asdict(self).items() if name != "extra"}
        if self.survivors:
            content["live_table_bytes"] = self.live_sets * LIVE_SET_BYTES
        else:
            del content["threshold_s"], content["live_objects"]
        content["sample"] = self.sample if self.sample > 1 else None
        return content | {"cache": list(self.cache)} | self.extra
