# SPDX-License-Identifier: Apache-2.0
"""A hand-made trace for tests of commands and renderers: small tables with known contents.

Outstanding: 23 messages (2,944 bytes, one hostile comm) and 41 pipes.  One cache has an alias.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from slabtrace.analysis.leaks.verdict import Verdict
from slabtrace.analysis.memory.account import account, counters, over_time
from slabtrace.analysis.memory.series import Series
from slabtrace.analysis.memory.words import all_sentences
from slabtrace.columns import OLDEST
from slabtrace.lines.shown import Lines
from slabtrace.lines.symbolizers import Location
from slabtrace.trace.manifest import Command, Coverage, Host, Manifest, Totals, Unattached
from tests.unit.analysis.memory.made import series
from tests.unit.fake_rows import CACHES, GROUPS, HOSTILE, HOSTILE_HTML, MISMATCH, STAT, finding

if TYPE_CHECKING:
    from slabtrace.lines.finder import LineFinder


@dataclass
class FakeCompleteness:
    """A Completeness with five dropped events and two frees of older objects."""

    events: int = 20_198
    allocs: int = 10_131
    frees: int = 10_067
    dropped: int = 5
    recursion_missed: int = 0
    recovered: int = 0
    skipped: int = 0
    missed_frees_inferred: int = 0
    stacks_lost: int = 0
    failed_allocs: int = 0
    null_frees: int = 0
    unmatched_frees: int = 2
    cgroups_unjudged: int = 0
    late: int = 0
    counted: int = 0
    sampled_one_in: int = 1
    filters: list[str] = field(default_factory=list)
    damaged: bool = False
    unattached: list[str] = field(default_factory=lambda: ["kfree_rcu"])
    tool: str = ""
    foreign_lost: int = 0
    losses: str = "known"
    uncounted: int = 0
    no_leak_list: list[str] = field(default_factory=list)
    exact: bool = False
    verdict: str = "5 events were dropped."

    @property
    def lost(self) -> int:
        return self.dropped + self.skipped + self.late


class FakeLines:
    """The part of lines.finder.LineFinder that the commands use."""

    def lines(self, symbols: Collection[str]) -> Lines:
        asked = {symbol for symbol in symbols if "+" in symbol}
        found = {
            symbol: [Location("kmalloc", "include/linux/slab.h", 901), Location("f", f"ipc/{HOSTILE}.c", 53)]
            for symbol in asked
            if "[" not in symbol
        }
        return Lines(found, dict.fromkeys(asked - found.keys(), ("ipc", "no debug info was found")))


class FakeTrace:
    """The part of slabtrace.api.Trace that the commands use."""

    def __init__(self, wrong: list[dict[str, Any]] | None = None, damage: list[str] | None = None) -> None:
        self.wrong = wrong or []
        self.damage = damage or []
        self.length_ns = 2_000_000_000
        self.progress: Callable[[int], None] | None = None
        self.manifest = Manifest(
            status="complete",
            tool_version="0.1.0",
            started_at="2026-11-22T12:44:05Z",
            host=Host(hostname="box", release="6.18.0", machine="x86_64", cpus=2, memory_bytes=4 << 30),
            options={"stacks": "all", "cache": ["kmalloc-*"], "force": True, "pid": None, "quiet": False},
            command=Command(argv=["./leak", "two words"], pid=1234, exit_status=3),
            coverage=Coverage(
                attached=["kmalloc", "kfree"], unattached=[Unattached("kfree_rcu", "no fentry here")]
            ),
            totals=Totals(events=20_198, allocs=10_131, frees=10_067, bytes_on_disk=60_594, segments=1),
        )

    def completeness(self) -> FakeCompleteness:
        return FakeCompleteness()

    def leaks(
        self,
        by: str = "stack",
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[Any, Any] | None = None,
        sum_copies: bool = False,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """Filter whole groups; each group belongs to one task."""
        mine = [g for g in GROUPS if not pid or g["pids"][0] in pid]
        return pd.DataFrame([g for g in mine if not comm or g["comms"][0] in comm])

    def findings(
        self,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[Any, Any] | None = None,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """A finding for each group."""
        mine = self.leaks("stack", pid, comm, between).to_dict("records")
        return pd.DataFrame([finding({str(name): value for name, value in row.items()}) for row in mine])

    def oldest(self, most: int = 5, ranks: Collection[int] | None = None, **question: Any) -> pd.DataFrame:
        """At most two objects of the second finding: one of a hostile task, one of a task without a name."""
        rows = [
            {
                "finding": 2, "ptr": 0xFFFF888004205500 + 128 * n, "ts_ns": 500_000_000,
                "age_ns": 1_500_000_000, "bytes_alloc": 128, "cache": "msg_msg-128", "object": "",
                "comm": comm, "tid": 1234 + n, "pid": 1234, "in_use": not n, "drgn": f"prog.read({n}, 128)",
                "crash": "rd 0xffff888004205500 16",
            }
            for n, comm in enumerate((HOSTILE, ""))
        ]  # fmt: skip
        wanted = rows[:most] if ranks is None or 2 in ranks else []
        return pd.DataFrame(wanted, columns=list(OLDEST.names))

    def verdict(
        self,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: tuple[Any, Any] | None = None,
        cgroup: Collection[str] = (),
    ) -> Verdict:
        """One suspect, whatever is asked for."""
        sentences = ["1 suspected leak, 230.6 KiB/min in all.", "A smaller one would have been missed."]
        return Verdict(1, 0, 3936.0, 20.5, 10**9, [], sentences)

    def tasks(self) -> pd.DataFrame:
        rows = [
            {"ts_ns": 0, "tid": g["pids"][0], "tgid": g["pids"][0], "comm": g["comms"][0]} for g in GROUPS
        ]
        return pd.DataFrame(rows)

    def caches(self) -> pd.DataFrame:
        known = {"slabinfo_start": "Int64", "slabinfo_end": "Int64", "unexplained": "Int64"}
        return pd.DataFrame(CACHES).astype(known)

    def summed(self) -> FakeTrace:
        return self

    def copies(self) -> dict[str, list[str]]:
        """No cache is the sum of several."""
        return {}

    def cache_names(self) -> dict[str, list[str]]:
        return {cache["cache"]: cache["aliases"] for cache in CACHES}

    def reconciliation(self) -> pd.DataFrame:
        rows = [
            {
                "cache": c["cache"],
                "aliases": c["aliases"],
                "kernel": c["slabinfo_end"] - c["slabinfo_start"],
                "traced": c["allocs"] - c["frees"],
                "residue": c["unexplained"],
                "slack": 64,
                "explained": c["explained"],
                "why": c["why"],
            }
            for c in CACHES
            if c["unexplained"] is not None
        ]
        return pd.DataFrame(rows)

    def _memory(self) -> Series:
        """A caller of vmalloc has a hostile name."""
        grown = {"meminfo.MemFree": 476, "meminfo.Slab": 128, "slab.kmalloc-1k": 80}
        return series({}, {**grown, f"vmalloc.{HOSTILE_HTML}{HOSTILE}+0x1 [evil]": 2})

    def account(self) -> pd.DataFrame:
        """Slab grew by 20 MiB in a second."""
        return account(self._memory(), {"kmalloc-1k": 20 << 20})

    def account_sentences(self) -> list[str]:
        return all_sentences(self.account(), self._memory(), [])

    def memory(self) -> pd.DataFrame:
        return over_time(self._memory(), 0)

    def counters(self) -> pd.DataFrame:
        return counters(self._memory())

    def stat(self, by: str = "call_site") -> pd.DataFrame:
        return pd.DataFrame(STAT)

    def mismatches(self) -> pd.DataFrame:
        return pd.DataFrame(self.wrong, columns=list(MISMATCH))

    def usage(self) -> pd.DataFrame:
        """Three caches in 20 buckets; the second differs more and more from the kernel's count."""
        return pd.DataFrame(
            [
                {
                    "ts_ns": (i + 1) * 10**8,
                    "cache": cache,
                    "objects": i * k,
                    "bytes": i * k * 64,
                    "allocs": 2 * k,
                    "frees": k,
                    "allocs_per_s": 20.0 * k,
                    "frees_per_s": 10.0 * k,
                    "active_objs": i * 1.0,
                    "num_objs": 64.0,
                    "reserved": 4096.0,
                    "room": 64.0,
                    "maybe_freed": i * k // 2,
                    "objects_expected": i * k * 0.75,
                    "bytes_expected": i * k * 48.0,
                }
                for cache, k in (("msg_msg-128", 1), ("kmalloc-cg-192", 2), ("_odd$name", 3))
                for i in range(20)
            ]
        )

    def call_site_usage(self, top: int = 7) -> pd.DataFrame:
        """The two groups, growing at a constant rate."""
        rows = [
            (10**8 * (i + 1), g["call_site"], g["symbol"], g["outstanding"] * i, g["bytes_alloc"] * i)
            for g in GROUPS[:top]
            for i in range(20)
        ]
        table = pd.DataFrame(rows, columns=["ts_ns", "call_site", "symbol", "objects", "bytes"])
        return table.assign(bytes_expected=table["bytes"].astype(float))

    def size_classes(self) -> pd.DataFrame:
        """Allocations of 128 and 256 bytes."""
        rows = [
            (10**8 * (i + 1), size, i * 7, i, i * 6, i * 6 * size) for size in (128, 256) for i in range(20)
        ]
        return pd.DataFrame(rows, columns=["ts_ns", "size_class", "allocs", "frees", "objects", "bytes"])

    def lifetime_histogram(self) -> pd.DataFrame:
        """Messages with a lifetime of a microsecond, pipes with one of a millisecond."""
        rows = [("msg_msg-128", 1024.0, 1448.2, 10_007), ("kmalloc-cg-192", 1e6, 1.4e6, 60)]
        return pd.DataFrame(rows, columns=["cache", "from_ns", "to_ns", "objects"])

    def marks(self) -> pd.DataFrame:
        return pd.DataFrame({"ts_ns": [10**9], "text": [HOSTILE_HTML]})

    def modules(self) -> pd.DataFrame:
        row = {"version": HOSTILE, "srcversion": "", "build_id": "ab" * 20, "taint": "OE", "since_ns": 0}
        return pd.DataFrame([{**row, "name": name, "begin": 1 << 63, "size": 4096} for name in ("", "ipc")])

    def line_finder(self, *places: str, fetching: Any = None) -> LineFinder:
        """All symbols of the kernel have a line, those of modules do not."""
        return cast("LineFinder", FakeLines())

    def losses(self) -> pd.DataFrame:
        row = {"begin_ns": 5 * 10**8, "end_ns": 10**9, "cpu": -1, "kind": "ring full", "program": ""}
        return pd.DataFrame([{**row, "count": 5, "lost": True}])
