# SPDX-License-Identifier: Apache-2.0
"""What the account of memory says in sentences: what grew, whether that is slab, and where to read on.

A part is named if it explains SHARE of the growth of what grew; the largest goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import TYPE_CHECKING, Any

from slabtrace.analysis.memory import parts as memory
from slabtrace.analysis.memory.account import Facts, facts
from slabtrace.units import count, duration, plural, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.memory.series import Series

SHARE = 0.05
NO_LEAK = 0.1  # of the growth: if less of it is slab, slab is not what leaks
LITTLE = 1 << 20  # bytes: what all CPUs together may still hold back of a counter (vmstat deltas)
MOST_NAMED = 4
GOING = {"growing": "it grew all along", "retained": "it came once, or no longer comes"}
PAGE = "docs/account.md"
NOTHING = "The kernel's counters of memory were not recorded (traces before format 2.3 have none)."
SLABS = (memory.SLAB, memory.LARGE)
# What a caller of vmalloc allocates for, by the beginning of its name.
CALLERS = {
    "pcpu_": "its bookkeeping",
    "bpf_": "BPF maps or programs", "array_map_alloc": "BPF maps", "htab_map_alloc": "BPF maps",
    "__bpf_map_area_alloc": "BPF maps", "queue_stack_map_alloc": "BPF maps", "ringbuf_map_alloc": "BPF maps",
    "load_module": "kernel modules", "module_": "kernel modules", "execmem_": "kernel modules",
    "xt_alloc_table_info": "iptables rules", "n_tty_open": "terminals", "vb2_vmalloc": "video buffers",
    "alloc_large_system_hash": "hash tables", "packet_": "packet sockets",
}  # fmt: skip


def all_sentences(account: pd.DataFrame, series: Series, unread: list[str]) -> list[str]:
    """Every sentence about an account of `series`, the last on what could not be read."""
    if not series.known:
        return [NOTHING]
    return [*sentences(account, facts(series)), *filter(None, [unread_sentence(unread)])]


def sentences(account: pd.DataFrame, facts: Facts) -> list[str]:
    """The first says what grew and how much of it is slab; the others what it is and where to read on."""
    whole = account[(account["item"] == "") & (account["counted_in"] == "")]
    change = dict(zip(whole["part"], whole["change"], strict=True))
    rows = grown(account)
    return [_first(rows, change, facts), *_more(rows, account, facts)]


def grown(account: pd.DataFrame) -> list[dict[Any, Any]]:
    """The parts in use that grew, the largest growth first."""
    whole = account[(account["item"] == "") & (account["counted_in"] == "")]
    rows = [row for row in whole.to_dict("records") if row["part"] not in memory.NOT_IN_USE]
    return sorted((row for row in rows if row["change"] > 0), key=lambda row: -row["change"])


def _first(rows: list[dict[Any, Any]], change: dict[str, float], facts: Facts) -> str:
    net = facts.in_use[1] - facts.in_use[0]
    over = f" in {duration(facts.seconds * 1e9)}" if facts.seconds > 0 else ""
    if abs(net) < LITTLE and (not rows or rows[0]["change"] < LITTLE):
        return f"Memory in use did not change by more than {size(LITTLE)}{over}."
    head = f"Memory in use {'grew' if net > 0 else 'shrank'} by {size(abs(net))}{over}"
    if net < 0:
        return f"{head}: {_shrunk(change)}."
    total = sum(row["change"] for row in rows)
    named = [row for row in rows if row["change"] >= SHARE * total][:MOST_NAMED]
    fell = [part for part, by in change.items() if part not in memory.NOT_IN_USE and -by >= SHARE * total]
    changed = {row["part"]: row["change"] for row in named} | {part: change[part] for part in fell}
    listed = ", ".join(f"{part} {_signed(by)}" for part, by in changed.items())
    cache = change.get(memory.CACHE, 0.0)
    cached = (
        f"; the page cache, which is given up when memory is short, {_signed(cache)}"
        if abs(cache) >= LITTLE
        else ""
    )
    return f"{head}{': ' + listed if listed else ''}{_of_slab(named, change)}{cached}."


def _shrunk(change: dict[str, float]) -> str:
    """The parts that changed most, where memory in use shrank."""
    used = [(part, by) for part, by in change.items() if part not in memory.NOT_IN_USE and abs(by) >= LITTLE]
    largest = sorted(used, key=lambda each: -abs(each[1]))[:MOST_NAMED]
    return ", ".join(f"{part} {_signed(by)}" for part, by in largest)


def _of_slab(named: list[dict[Any, Any]], change: dict[str, float]) -> str:
    """How much of it is slab, where slab is not what is named first."""
    if not named or named[0]["part"] in SLABS:
        return ""
    if isnan(change[memory.SLAB]):
        return "; how much of it is slab is not known"
    whole = sum(row["change"] for row in named)
    slab = sum(0.0 if isnan(change.get(part, 0.0)) else change.get(part, 0.0) for part in SLABS)
    no_leak = ": not a slab leak" if slab < NO_LEAK * whole else ""
    return f"; slab is {size(slab) if slab >= 0 else _signed(slab)} of it{no_leak}"


def _more(rows: list[dict[Any, Any]], account: pd.DataFrame, facts: Facts) -> Iterator[str]:
    total = sum(row["change"] for row in rows)
    named = [row for row in rows if row["change"] >= max(SHARE * total, LITTLE)][:MOST_NAMED]
    for row in named:
        said = "; ".join(_of_part(row, account, facts))
        going = {"growing": "it grew all along", "retained": "it came once, or no longer comes"}.get(
            row["class"], ""
        )
        words = "; ".join(filter(None, (said, going))) or _signed(row["change"])
        yield f"{row['part'].capitalize()}: {words}. See {PAGE}#{row['part'].replace(' ', '-')}."


def _of_part(row: dict[Any, Any], account: pd.DataFrame, facts: Facts) -> Iterator[str]:
    part = row["part"]
    inside = account[(account["part"] == part) & (account["item"] != "") & (account["change"] > 0)]
    for item in inside.head(2).to_dict("records"):
        if item["change"] >= SHARE * row["change"] and (len(inside) > 1 or part != memory.PERCPU):
            means = _caller(item["item"]) if part in (memory.VMALLOC, memory.PERCPU) else ""
            yield f"{item['item']} {_signed(item['change'])}{f' ({means})' if means else ''}"
    if part in (memory.PERCPU, memory.SLAB):
        yield from _cgroups(part, facts)
    if part in (memory.UNCOUNTED, memory.LARGE):
        yield from _held(account, part)


def _cgroups(part: str, facts: Facts) -> Iterator[str]:
    """Cgroups, if there are more of them, or many that are dying."""
    (before, after), (dying_before, dying) = facts.cgroups, facts.dying
    more = after > before
    if more:
        yield f"{count(after)} memory cgroups ({int(after - before):+,})"
    if dying > dying_before or (part == memory.PERCPU and dying > 0):
        who = "of them" if more else "memory cgroups are"
        yield f"{count(dying)} {who} dying ({int(dying - dying_before):+,})"


def _held(account: pd.DataFrame, part: str) -> Iterator[str]:
    """Sockets and pipes that hold more than before: they may be what these pages are for."""
    whole = account[(account["item"] == "") & account["counted_in"].str.contains(part, regex=False)]
    for row in whole[whole["change"] >= LITTLE].to_dict("records"):
        yield f"{row['part']} hold {size(row['change'])} more"


def _caller(name: str) -> str:
    return next((what for begin, what in CALLERS.items() if name.startswith(begin)), "")


def _signed(number: float) -> str:
    return f"{'-' if number < 0 else '+'}{size(abs(number))}"


def unread_sentence(unread: list[str]) -> str:
    """What could not be read, and what that means; empty if all was."""
    if not unread:
        return ""
    files = f"{plural(len(unread), 'file')} could not be read: {'; '.join(unread)}"
    return f"{files}. What follows from them is not known (-)."
