# SPDX-License-Identifier: Apache-2.0
"""manifest.json: what was recorded, where, when, how, and how it ended.

The recorder saves it first with the status "recording" and last with "complete", so a trace shows whether its
recorder was killed.  Unknown keys (of a newer MINOR) are ignored, and missing ones have their default; a
wrong type or a newer MAJOR is refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slabtrace.errors import TraceError
from slabtrace.trace.files.files import Files, Folder
from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.format.foreign import Foreign
from slabtrace.trace.format.sample import sampled_one_in
from slabtrace.trace.format.typed_json import from_json

RECORDING = "recording"
COMPLETE = "complete"
FAILED = "failed: "  # followed by the reason
MOST_BYTES = 64 << 20  # usually it has a few thousand; a longer one is a trap


@dataclass
class OsRelease:
    """What /etc/os-release says: ID, VERSION_ID and PRETTY_NAME.  In a container it is the container's."""

    id: str = ""
    version_id: str = ""
    pretty_name: str = ""


@dataclass
class Host:
    """The traced machine.

    `stext`: load address of the kernel's text, 0 if hidden.  `kfence`: whether KFENCE samples allocations;
    None: not known.  `red_left_pad`: bytes before each object, by cache name, of debugged caches
    (slab_debug=Z); it is 0 for all others.  `cpu_nodes`: the NUMA node of each possible CPU; empty: not
    known.  `boot_id`: names one boot.  `command_line`: the kernel's, at most 4,096 bytes.  `tainted`: bits as
    in /proc/sys/kernel/tainted; None: not known.
    """

    hostname: str = ""
    release: str = ""
    version: str = ""
    machine: str = ""
    cpus: int = 0
    page_size: int = field(default=4096, metadata={"least": 1})
    memory_bytes: int = 0
    build_id: str = ""
    stext: int = field(default=0, metadata={"below": 1 << 64})
    btf: bool = False
    kfence: bool | None = None
    red_left_pad: dict[str, int] = field(default_factory=dict)
    cpu_nodes: list[int] = field(default_factory=list)
    boot_id: str = ""
    os: OsRelease = field(default_factory=OsRelease)
    command_line: str = ""
    tainted: int | None = None


@dataclass
class Command:
    """The command that was traced; `exit_status` stays None until it ends.

    `ended_ns` (CLOCK_MONOTONIC): when it was seen to have ended; None if it was still running then.
    """

    argv: list[str] = field(default_factory=list)
    pid: int = 0
    exit_status: int | None = None
    ended_ns: int | None = None


@dataclass
class Helper:
    """A further process of slabtrace's own while it recorded; `ended_ns` stays None until it ends.

    The times distinguish it from another process that gets its pid later.
    """

    pid: int = 0
    started_ns: int = 0
    ended_ns: int | None = None


@dataclass
class RecorderUse:
    """The recorder itself: its process, the CPU time it took (ns) and its peak memory (bytes).

    Its own writes allocate kernel objects too (buffer heads, xarray nodes); `pid` distinguishes them.
    `helpers`: processes that it started for itself, since the begin of a series.
    """

    pid: int = 0
    cpu_ns: int = 0
    peak_rss_bytes: int = 0
    helpers: list[Helper] = field(default_factory=list)


@dataclass
class Processes:
    """Processes (pids) that began while recording and were there at its end: `running`, or `ended` and
    not yet collected by their parents (zombies); `parents` of the latter.
    """

    running: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)


@dataclass
class Unattached:
    """A silent path that no program traces, and the kernel's reason."""

    path: str = ""
    reason: str = ""


@dataclass
class Coverage:
    """Names of the attached BPF programs and of their twins, and the silent paths that are not traced.

    `free_traced_after`: kmem_cache_free is reported after the free instead of before (up to 6.0), so an
    allocation of the address on another CPU may have an earlier time than the free.
    `frees_judged`: the programs checked, for all but bulk frees, whether an object begins at the freed
    address (Flag.INTERIOR).
    `charges_unread`: why it is not known to which memory cgroups objects are charged; empty: they were read
    (or nobody asked the slabs).
    `memory_unread`: files with counters of memory that could not be read, and why ("/proc/vmallocinfo: …").
    `unrecorded`: memory that was to be recorded, and the reason why it is not ("vmalloc: …").
    `programs_preemptible`: a task may be preempted between a program and its twin (from 7.0), so the twin may
    record the event again, much later.
    """

    attached: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)
    unattached: list[Unattached] = field(default_factory=list)
    free_traced_after: bool = False
    frees_judged: bool = False
    programs_preemptible: bool = False
    charges_unread: str = ""
    memory_unread: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)


@dataclass
class Inspection:
    """How the objects of objects.arrow were inspected; `searched`: bytes, by kind of memory (slab, data, …).

    `whole`: false if there was no time for all that was to be searched.  `problem`: why nothing was
    inspected, or not all; empty if all was.
    """

    objects: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    searched: dict[str, int] = field(default_factory=dict)
    whole: bool = False
    problem: str = ""


@dataclass
class Totals:
    """What the recorder counted so far (saved about once a second).

    `counted`: objects that were allocated and freed, but only counted (schema.COUNTED); `allocs` and `frees`
    include them.  `modules`: those with known functions, unloaded ones included.  `cgroups_unjudged`: made
    while recording with --cgroup, which could not judge them, so what their tasks allocated is not recorded.
    `left_out`: pages that --pages saw allocated and left out, by what they are for ("slab", "movable", …).
    """

    events: int = 0
    allocs: int = 0
    frees: int = 0
    counted: int = 0
    dropped: int = 0
    failed_allocs: int = 0
    null_frees: int = 0
    recursion_missed: int = 0
    recovered: int = 0
    stacks_lost: int = 0
    late: int = 0
    bytes_on_disk: int = 0
    segments: int = 0
    modules: int = 0
    cgroups_unjudged: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass
class Step:
    """At `ts_ns` less was recorded from then on, because the recording exceeded its budget (record --budget).

    `programs`, `recorder`: what it had cost, as shares of all CPUs' time.  `stacks`: whether stacks are still
    taken.  `one_in`: one in so many addresses is recorded; `before`: the same until then.  `kept`: false if
    nothing more could be saved, so the budget is exceeded.
    """

    ts_ns: int = 0
    programs: float = 0.0
    recorder: float = 0.0
    stacks: bool = False
    one_in: int = 1
    before: int = 1
    kept: bool = True


@dataclass
class Part:
    """The number of this part of a series, from 1, and the `started_ns` of the series."""

    number: int = 1
    series_started_ns: int = 0


@dataclass
class Manifest:
    """The whole of manifest.json.  Times are CLOCK_MONOTONIC ns, `started_at` ISO 8601 UTC.

    `asked_until_ns`: until then it was to record; the checks at the end, of slabs and objects, took the rest.
    `labels`: what the user of `record --label` calls the recording.  `foreign`: it was made by another tool
    and imported; None: by slabtrace.  `redacted`: addresses, pids and names of
    tasks are replaced (redaction/).
    """

    format: str = schema.FORMAT
    version: list[int] = field(default_factory=lambda: [schema.MAJOR, schema.MINOR])
    status: str = RECORDING
    tool_version: str = ""
    started_ns: int = 0
    ended_ns: int | None = None
    asked_until_ns: int | None = None
    started_at: str = ""
    realtime_minus_monotonic_ns: int = 0
    host: Host = field(default_factory=Host)
    options: dict[str, Any] = field(default_factory=dict)
    command: Command | None = None
    recorder: RecorderUse = field(default_factory=RecorderUse)
    coverage: Coverage = field(default_factory=Coverage)
    totals: Totals = field(default_factory=Totals)
    steps: list[Step] = field(default_factory=list)
    processes: Processes | None = None
    inspection: Inspection | None = None
    part: Part | None = None
    labels: dict[str, str] = field(default_factory=dict)
    foreign: Foreign | None = None
    redacted: bool = False

    @property
    def survivors(self) -> bool:
        """Whether it was recorded with --mode survivors, where short-lived objects are only counted."""
        return self.options.get("mode") == "survivors"

    @property
    def sampled_one_in(self) -> int:
        """N if one in N addresses was recorded; 1: all of them."""
        return sampled_one_in(self.options)

    @property
    def thinned(self) -> bool:
        """Whether there are events of addresses outside the last sample; a redacted copy has none of them."""
        return not self.redacted and any(step.before < self.sampled_one_in for step in self.steps)

    @property
    def threshold_s(self) -> float:
        """The age (s) from which on objects are recorded one by one; 0 for all objects."""
        threshold = self.options.get("threshold_s")
        return float(threshold) if self.survivors and isinstance(threshold, int | float) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, as plain dicts and lists."""
        return asdict(self)

    def save(self, place: Place) -> None:
        """Replace the manifest of the trace in the folder `place` atomically, mode 0600.  Raises OSError."""
        place.replace(schema.MANIFEST, f"{json.dumps(self.to_dict(), indent=1)}\n".encode())


def load(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of the trace in `folder`.

    Raises TraceError if it is missing, cannot be read, is not a slabtrace manifest, or was written by a newer
    MAJOR version of the format.
    """
    path = Path(folder)
    return read(Folder(path), path)


def read(files: Files, trace: Path) -> Manifest:
    """Read the manifest among the files of the trace called `trace`.  Raises as `load`."""
    path = trace / schema.MANIFEST
    try:
        with files.open(schema.MANIFEST) as file:
            if file.size() > MOST_BYTES:
                raise TraceError(f"{path} is too long for a manifest", "The trace is damaged.")
            content = json.loads(file.read())
    except (FileNotFoundError, KeyError):
        raise TraceError(
            f"{trace} has no {schema.MANIFEST}", "Is it a slabtrace trace (a NAME.slab folder)?"
        ) from None
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise TraceError(f"{path} is not valid JSON", "The trace is damaged.") from None
    return _checked(path, content)


def _checked(path: Path, content: Any) -> Manifest:
    """`content` as a Manifest; its format and version are checked first."""
    if not isinstance(content, dict) or content.get("format") != schema.FORMAT:
        raise TraceError(f"{path} is not the manifest of a slabtrace trace")
    version = content.get("version")
    if not (isinstance(version, list) and version and type(version[0]) is int):
        raise TraceError(f"{path} has no format version", "The trace is damaged.")
    if version[0] > schema.MAJOR:
        raise TraceError(
            f"{path.parent} has format version {version[0]}; this slabtrace reads up to {schema.MAJOR}.x",
            "Read it with a newer slabtrace.",
        )
    try:
        return from_json(Manifest, content)
    except (TypeError, ValueError) as error:
        raise TraceError(f"{path}: {error}", "The trace is damaged.") from None
