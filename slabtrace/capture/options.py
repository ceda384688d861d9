# SPDX-License-Identifier: Apache-2.0
"""What the user asked `record` to do, checked, and turned into numbers for the programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from slabtrace.capture.glob import CommGlob
from slabtrace.errors import UsageError

DEFAULT_BUFFER_MIB = 64  # per CPU: a million events, a third of a second at the highest rate seen
BUFFER_SHARE = 16  # unless told, all buffers together take at most 1/16 of the memory
MAX_SIZE = 0xFFFF_FFFF
STACK_BUCKETS = 1 << 16
_TWINS = {"none": 0, "frees": 1, "all": 3}  # bits of TWINS in bpf/twin.h


@dataclass(frozen=True)
class CaptureOptions:
    """Options of a recording.  Sizes in bytes, `buffer_mib` in MiB per CPU.

    `buffer_mib` None means DEFAULT_BUFFER_MIB, less where memory is small.

    Raises UsageError for values that contradict each other.
    """

    stacks: str = "all"  # "none", "auto" (bpf/stack_budget.h) or "all"
    cache: tuple[str, ...] = ()
    min_size: int | None = None
    max_size: int | None = None
    pid: int | None = None
    comm: str | None = None
    buffer_mib: int | None = None
    twins: str = "all"  # "none", "frees" or "all": which tracepoints have a twin program
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.min_size or 0) > (MAX_SIZE if self.max_size is None else self.max_size):
            raise UsageError(f"--min-size {self.min_size} is more than --max-size {self.max_size}")
        if self.comm is not None:
            CommGlob(self.comm)

    @property
    def filtered(self) -> bool:
        """Does any filter leave events out?"""
        return bool(self.cache or self.comm is not None or self.pid is not None or self._by_size)

    def twin_of(self, tracepoint: str) -> bool:
        """Has this tracepoint a twin program?"""
        return self.twins == "all" or (self.twins == "frees" and "free" in tracepoint)

    @property
    def _by_size(self) -> bool:
        return self.min_size is not None or self.max_size is not None

    def defines(self) -> dict[str, int | str | None]:
        """The -D options for bpf/ that these options need."""
        defines: dict[str, int | str | None] = {}
        defines["TWINS"] = _TWINS[self.twins]
        if self.stacks != "none":
            defines |= {"STACKS": None, "STACK_BUCKETS": STACK_BUCKETS}
        if self.stacks == "auto":
            defines["STACKS_AUTO"] = None
        if self.pid is not None:
            defines["FILTER_TGID"] = self.pid
        if self._by_size:
            high = MAX_SIZE if self.max_size is None else self.max_size
            defines |= {
                "FILTER_SIZE": None,
                "FILTER_MIN_SIZE": self.min_size or 0,
                "FILTER_MAX_SIZE": f"{high}ul",
            }
        if self.comm is not None:
            glob = CommGlob(self.comm)
            defines |= {"FILTER_COMM": None, "COMM_LOOP": glob.loop, "COMM_ACCEPT": glob.accept}
        if self.cache:
            defines["FILTER_CACHE"] = None
        return defines

    def to_manifest(self) -> dict[str, Any]:
        """As the manifest keeps them."""
        content = {name: value for name, value in asdict(self).items() if name != "extra"}
        return content | {"cache": list(self.cache)} | self.extra
