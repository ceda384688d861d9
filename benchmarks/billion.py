# SPDX-License-Identifier: Apache-2.0
"""Read a trace of a billion events (a day at 11,600 a second): time and memory of each command.

slabtrace's own writer makes the trace.  It repeats one batch at other addresses and times, so that events
must be paired and the answers are known: each batch leaks one message, one batch in a thousand frees an
object twice, and the long-lived objects of the last KEPT_FOR batches are outstanding.  New tasks appear
and slabinfo changes every second, as on a machine in use.  SLABTRACE_EVENTS sets another number of events.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.reading import timed
from benchmarks.table import print_table
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import COMPLETE, Host, Manifest
from slabtrace.trace.writing.writer import TraceWriter

EVENTS, DAY_NS = 1_000_000_000, 86_400_000_000_000
BATCH = 1 << 17
KEPT_FOR, REGIONS = 48, 64  # batches: the lifetime of long-lived objects; until addresses are reused
LONG_LIVED = 4001  # objects in each batch
TWICE_EACH = 1000  # batches: the last of them has a double free
CACHES, CALL_SITES, SECONDS = 40, 60, 86_400
CHANGED, TASKS = 20, 5  # each second: caches whose slabinfo changes, new tasks
STAYS, PAGE_END = CALL_SITES + CACHES, CALL_SITES + CACHES + 1  # sites: of the leak; of an ended page
BASE, OBJECT, FAR = 0xFFFF_8880_0000_0000, 256, 1 << 40  # leaked objects lie FAR above the others
REGION = 2 * BATCH * OBJECT
CACHE, TEXT = 0xFFFF_8881_0000_0000, 0xFFFF_FFFF_8100_0000
COMMANDS = ("info", "stat", "leaks", "mismatches", "caches", "report")


def main(quick: bool) -> None:
    """Make the trace, read it, print one table, delete the trace."""
    events = int(os.environ.get("SLABTRACE_EVENTS", "10_000_000" if quick else EVENTS))
    print(f"### Reading a trace of {events:,} events\n")
    with tempfile.TemporaryDirectory(prefix="slabtrace-billion-", dir="/var/tmp") as name:
        trace = Path(name) / "t.slab"
        machine.note(f"billion: making {events:,} events")
        batches = make(trace, events)
        size = sum(path.stat().st_size for path in trace.rglob("*.arrow"))
        print(f"{batches * BATCH:,} events, {size / 2**20:,.0f} MiB\n")
        rows = []
        for command in COMMANDS:
            run = timed(_argv(command, trace), batches * BATCH)
            rows.append(
                (command, f"{run.seconds:,.0f}", f"{run.events_per_s / 1e6:.1f}", f"{run.rss_mib:.0f}")
            )
            machine.note(" ".join(rows[-1]))
        print_table(("command", "s", "M events/s", "peak MiB"), rows)
        print(f"as made: {_as_made(trace, batches)}\n")


def _argv(command: str, trace: Path) -> list[str]:
    more = ["-o", str(trace.with_suffix(".html"))] if command == "report" else []
    return [sys.executable, "-m", "slabtrace", command, str(trace), *more]


def _as_made(trace: Path, batches: int) -> bool:
    """Whether `leaks` and `mismatches` find exactly what the trace was made with."""
    groups = _json("leaks", trace)["groups"]
    left = [group for group in groups if group["cache"] == "cache-leaky"]
    others = sum(group["outstanding"] for group in groups) - batches
    twice = [each["kind"] for each in _json("mismatches", trace)["findings"]]
    return (
        [group["outstanding"] for group in left] == [batches]
        and others == LONG_LIVED * min(KEPT_FOR, batches)
        and twice == ["double-free"] * (batches // TWICE_EACH)
    )


def _json(command: str, trace: Path) -> Any:
    argv = [sys.executable, "-m", "slabtrace", command, str(trace), "--json"]
    found = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(found.stdout)


def make(trace: Path, events: int) -> int:
    """Write the trace; how many batches of BATCH events it has."""
    batches = max(events // BATCH, KEPT_FOR)
    manifest = Manifest(started_ns=DAY_NS, host=Host(cpus=2, release="6.18.0", kfence=False))
    writer = TraceWriter(trace, manifest)
    _side_tables(writer)
    for batch in _batches(batches):
        writer.events(batch)
    manifest.ended_ns = 2 * DAY_NS
    manifest.totals.events, manifest.totals.segments = batches * BATCH, writer.segments
    writer.close(COMPLETE)
    return batches


def _batches(batches: int) -> Iterator[EventBatch]:
    """Copies of the template with other times and addresses; a late free has the older copy's address."""
    template, back = _template()
    length = DAY_NS // batches
    for number in range(batches):
        region = ((number - back) % REGIONS).astype(np.uint64)
        ptr, site = template.ptr + region * np.uint64(REGION), template.site
        ptr[template.site == STAYS] = BASE + FAR + number * OBJECT
        if number % TWICE_EACH == TWICE_EACH - 1:  # the page end, last in the batch, becomes a second free
            site, ptr[-1] = site.copy(), BASE + number % REGIONS * REGION + LONG_LIVED * OBJECT
            site[-1] = CALL_SITES
        yield template._replace(
            ts_ns=DAY_NS + number * length + template.ts_ns * length // BATCH, ptr=ptr, site=site
        )


def _template() -> tuple[EventBatch, Any]:
    """A batch with times from 0 up, and for each event how many batches earlier its object was allocated."""
    random = np.random.default_rng(8)
    pairs = (BATCH - 2 * LONG_LIVED - 2) // 2
    came = random.random(pairs) * 0.95
    gone = came + np.minimum(random.exponential(0.005, pairs), 0.04)
    long = np.arange(LONG_LIVED)
    short = LONG_LIVED + np.arange(pairs)
    slot = np.concatenate([long, long, short, short, [0], [BATCH]])
    sort = slot % CALL_SITES
    freed = np.concatenate([long < 0, long >= 0, short < 0, short >= 0, [False], [False]])
    site = np.where(freed, CALL_SITES + sort % CACHES, sort)
    site[-2:] = STAYS, PAGE_END
    back = np.zeros(BATCH, np.int64)
    back[LONG_LIVED : 2 * LONG_LIVED] = KEPT_FOR
    when = np.concatenate([random.random(2 * LONG_LIVED), came, gone, [0.5], [2.0]])
    order = np.argsort(when)
    ptr = np.uint64(BASE) + slot[order].astype(np.uint64) * np.uint64(OBJECT)
    tid, cpu = (100 + sort[order] % 20).astype(np.uint32), (slot[order] % 2).astype(np.uint16)
    return EventBatch(np.arange(BATCH), ptr, site[order].astype(np.uint32), tid, cpu), back[order]


def _side_tables(writer: TraceWriter) -> None:
    """Write sites, stacks and caches, and the tasks and slabinfo of a day."""
    allocs, frees = np.arange(CALL_SITES), np.arange(CACHES)
    kind = [Kind.KMALLOC] * CALL_SITES + [Kind.KFREE] * CACHES + [Kind.KMALLOC, Kind.PAGE_END]
    cache = _above(CACHE, np.concatenate([allocs % CACHES, frees, [CACHES], [0]]))
    text = _above(TEXT, np.arange(len(kind)) * 64)
    is_alloc = np.array(kind) == Kind.KMALLOC
    size = np.where(is_alloc, OBJECT, 0)
    size[-1] = 4096
    writer.rows(
        "sites",
        {
            "site": np.arange(len(kind)),
            "kind": kind,
            "flags": np.zeros(len(kind)),
            "call_site": text,
            "cache": cache,
            "bytes_req": size,
            "bytes_alloc": size,
            "gfp_flags": np.full(len(kind), 0xCC0),
            "node": np.full(len(kind), -1),
            "stack_id": np.where(is_alloc, np.arange(len(kind)), -1),
        },
    )
    writer.rows(
        "stacks",
        {
            "stack_id": np.flatnonzero(is_alloc),
            "frames": [[int(text[i]), TEXT - 64] for i in np.flatnonzero(is_alloc)],
        },
    )
    names = [f"cache-{i}" for i in range(CACHES)] + ["cache-leaky"]
    fixed = {"object_size": OBJECT, "size": OBJECT, "slab_flags": 0, "order": 0, "objects_per_slab": 16}
    columns = {name: [value] * len(names) for name, value in fixed.items()}
    columns |= {"reclaimable": [False] * len(names), "first_seen_ns": [DAY_NS] * len(names)}
    writer.rows(
        "caches",
        {
            "cache": _above(CACHE, np.arange(len(names))),
            "name": names,
            "aliases": [[] for _ in names],
            **columns,
        },
    )
    for second in range(SECONDS):
        _second(writer, DAY_NS + second * 1_000_000_000, names, second)


def _above(base: int, offset: Any) -> Any:
    return np.uint64(base) + offset.astype(np.uint64)


def _second(writer: TraceWriter, ts_ns: int, names: list[str], second: int) -> None:
    """Write what one second adds to tasks.arrow and slabinfo.arrow."""
    tid = (np.arange(TASKS) + second * TASKS) % 32_000 + 300
    comms = [f"worker/{each % 7}" for each in tid.tolist()]
    writer.rows("tasks", {"ts_ns": [ts_ns] * TASKS, "tid": tid, "tgid": tid, "comm": comms})
    rows = names if second in (0, SECONDS - 1) else [names[(second + i) % CACHES] for i in range(CHANGED)]
    used = [16 * (second % 100 + 1)] * len(rows)
    fixed = {"objsize": OBJECT, "objperslab": 16, "pagesperslab": 1}
    columns = {name: [value] * len(rows) for name, value in fixed.items()}
    columns |= {"active_objs": used, "num_objs": used, "num_slabs": [u // 16 for u in used]}
    writer.rows("slabinfo", {"ts_ns": [ts_ns] * len(rows), "name": rows, **columns})
