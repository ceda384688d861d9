# SPDX-License-Identifier: Apache-2.0
"""Events as text of ftrace, for tools that read tracefs' `trace`: trace-cmd's and perf's users know the form.

Only what kmem tracepoints report is written: no bulk frees, no kfree_rcu, no ends of slabs.  `slabtrace
import` reads it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from slabtrace.trace.format.schema import Kind

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS = {
    Kind.KMALLOC: "kmalloc",
    Kind.CACHE_ALLOC: "kmem_cache_alloc",
    Kind.KFREE: "kfree",
    Kind.CACHE_FREE: "kmem_cache_free",
}
COLUMNS = (
    "ts_ns", "ptr", "kind", "call_site", "bytes_req", "bytes_alloc", "gfp_flags", "node", "tid", "cpu",
    "cache_name",
)  # fmt: skip
HEADER = """# tracer: nop
#
# written by slabtrace export; events without a tracepoint are left out
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
SHORT = 15  # characters of a task's name, as in the kernel


def write_ftrace(
    out: BinaryIO,
    batches: Iterator[pa.RecordBatch],
    symbol: Callable[[int], str],
    comm: Callable[[int], str],
) -> None:
    """Write events (whole events with COLUMNS).

    `symbol`: the name of a call site; `comm`: that of a task, with any characters.
    """
    out.write(HEADER.encode())
    texts: dict[tuple[int, ...], tuple[str, str]] = {}
    tasks: dict[int, str] = {}
    for batch in batches:
        out.write("".join(_lines(batch, texts, tasks, symbol, comm)).encode(errors="backslashreplace"))


def _lines(
    batch: pa.RecordBatch,
    texts: dict[tuple[int, ...], tuple[str, str]],
    tasks: dict[int, str],
    symbol: Callable[[int], str],
    comm: Callable[[int], str],
) -> Iterator[str]:
    """The lines of a batch; what repeats, `texts` and `tasks`, is made once."""
    columns = (batch.column(name).to_pylist() for name in COLUMNS)
    for ts_ns, ptr, kind, *site, tid, cpu, cache in zip(*columns, strict=True):
        if kind not in EVENTS:
            continue
        key = (kind, *site, cache)
        if key not in texts:
            texts[key] = _texts(kind, symbol(site[0]), site[1:], cache)
        if tid not in tasks:
            tasks[tid] = f"{_printable(comm(tid)) or '<...>':>16}-{tid:<7}"
        before, after = texts[key]
        time = f"{ts_ns // 1_000_000_000:5}.{ts_ns % 1_000_000_000 // 1000:06}"
        yield f"{tasks[tid]} [{cpu:03}] ..... {time}: {before}{ptr:016x}{after}\n"


def _texts(kind: int, site: str, numbers: list[int], cache: str) -> tuple[str, str]:
    """The text before and behind the pointer."""
    before = f"{EVENTS[Kind(kind)]}: call_site={_printable(site)} ptr="
    named = f" name={_printable(cache)}"
    if kind == Kind.CACHE_FREE:
        return before, named
    if kind == Kind.KFREE:
        return before, ""
    req, alloc, gfp, node = numbers
    sizes = f" bytes_req={req} bytes_alloc={alloc} gfp_flags={gfp:#x} node={node}"
    return before, f"{named if kind == Kind.CACHE_ALLOC else ''}{sizes}"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
