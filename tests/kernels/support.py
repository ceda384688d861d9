# SPDX-License-Identifier: Apache-2.0
"""The support table of docs/kernels.md: what slabtrace sees on each kernel, from the lab's recordings."""

from __future__ import annotations

from collections.abc import Callable

import slabtrace
from slabtrace.api import Trace
from slabtrace.errors import SlabtraceError
from tests.kernels.experiment import folder
from tests.kernels.workload import BAD_FREES

# Names of silent paths in the table.
SILENT = {
    "kmem_cache_alloc_bulk": "bulk allocation",
    "kmem_cache_free_bulk": "bulk free",
    "kvfree_call_rcu": "kfree_rcu",
    "kfree_call_rcu_nolock": "kfree_rcu_nolock",
    "kmalloc_nolock": "kmalloc_nolock",
    "kfree_nolock": "kfree_nolock",
}


def column(label: str, once: bool = False) -> dict[str, str]:
    """{row: cell} of one kernel, from the recordings it has; with `once` those of examine_at_once."""
    leaks, wrong = (_opened(label, "whole" if once else name) for name in ("leaks", "mismatches"))
    cells: dict[str, str] = {}
    if leaks is not None:
        cells = {"": leaks.manifest.host.release, **{name: cell(leaks) for name, cell in _CELLS.items()}}
    return cells | ({} if wrong is None else _wrong_frees(wrong))


def _opened(label: str, experiment: str) -> Trace | None:
    try:
        return slabtrace.open(folder(label, experiment) / "trace.slab")
    except SlabtraceError:
        return None


def _wrong_frees(trace: Trace) -> dict[str, str]:
    found, cells = trace.mismatches(), {}
    for bad in BAD_FREES:
        mine = found[(found["kind"] == bad.kind) & (found["cache"] == bad.cache)]
        surest = ", ".join(sorted(set(mine["confidence"])))
        cells[bad.kind] = f"{len(mine)} of {bad.count}, {surest}" if len(mine) else "not seen"
        if bad.kind == "wrong-cache-free" and len(mine) and mine["named_cache"].isna().all():
            cells[bad.kind] += "; the named cache is hidden"
    return cells


def table(columns: list[dict[str, str]]) -> str:
    """A table in Markdown; empty columns are left out."""
    columns = [each for each in columns if each]
    names = list(dict.fromkeys(name for each in columns for name in each))
    lines = [[name, *(each.get(name, "–") for each in columns)] for name in names]
    lines.insert(1, ["---"] * (len(columns) + 1))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _twins(trace: Trace) -> str:
    completeness = trace.completeness()
    if not completeness.recovered and not completeness.skipped:
        return "none skipped"  # up to 6.0 programs nest
    return f"recovered by twins; {completeness.skipped or 'none'} lost"


def _silent(watched: bool) -> Callable[[Trace], str]:
    def cell(trace: Trace) -> str:
        coverage = trace.manifest.coverage
        names = {name.removeprefix("on_") for name in coverage.attached}
        if not watched:
            names = {path.path for path in coverage.unattached}
        return ", ".join(words for name, words in SILENT.items() if name in names) or "none"

    return cell


def _page_ends(trace: Trace) -> str:
    return "yes" if "mm_page_free" in trace.manifest.coverage.attached else "no"


def _verdict(trace: Trace) -> str:
    completeness = trace.completeness()
    text: str = completeness.confidence
    if completeness.missed_frees_inferred:
        text += f"; {completeness.missed_frees_inferred} missed frees inferred"
    return text


_CELLS: dict[str, Callable[[Trace], str]] = {
    "events that interrupt a program": _twins,
    "silent paths seen": _silent(watched=True),
    "silent paths only inferred": _silent(watched=False),
    "missed frees proved by the end of a slab": _page_ends,
    "findings of the lab's recording": _verdict,
}
