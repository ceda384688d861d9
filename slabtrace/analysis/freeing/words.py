# SPDX-License-Identifier: Apache-2.0
"""Where the freed siblings of outstanding objects were freed, as a sentence; and the context, as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slabtrace.analysis.freeing.paths import COUNTED, INFERRED, UNLISTED
from slabtrace.analysis.names.context import INTERRUPTS, TASK, WORK, kind_of
from slabtrace.units import count, duration

PATHS_SHOWN = 3
GROWS = ("suspect", "growing")
RARE = 0.01  # of a sample: paths with a smaller share are not named
UNSEEN = {
    INFERRED: "without being seen",
    COUNTED: "while they were young and only counted",
    UNLISTED: "at places too many to list",
}


def siblings(row: Mapping[Any, Any]) -> str:
    """As "siblings were freed by free_msg <- do_msgrcv (4,800 of 4,800); these were not"; "" if none was.

    `row`: of columns.FINDINGS or LEAKS.  Places that missed events may explain are left out.
    """
    entries: Sequence[Mapping[str, Any]] = list(row.get("freed_by") or [])
    freed = max(int(row["freed"]), sum(each["objects"] for each in entries))
    shown = _listed(entries, freed)
    if not shown:
        return _others(row) if row["class"] in GROWS and not freed else ""
    not_taken = row["class"] in GROWS and any(each["certain"] for each in entries)
    said = f"siblings were freed {shown}{'; these were not' if not_taken else ''}"
    every = [each for entry in entries for each in (entry, *entry.get("paths", ()))]
    return said + "".join(f"; {_stopped(each)}" for each in every if each["stopped"])


def allocated_in(context: str) -> str:
    """Words for a context in which the running task was there by accident; "" for any other.

    As "in softirq NET_RX (on whatever task ran)", "by work item wb_workfn (in whatever thread ran it)".
    """
    kind = kind_of(context)
    if kind == WORK:
        return f"by {context} (in whatever thread ran it)"
    if kind not in INTERRUPTS:
        return ""
    article = "" if kind in ("softirq", "hardirq") else "a " if kind != "RCU callback" else "an "
    return f"in {article}{context} (on whatever task ran)"


def _listed(entries: Sequence[Mapping[str, Any]], freed: int) -> str:
    """As "by free_msg <- do_msgrcv (4,800 of 4,803) and without being seen (3)"; "" if nothing is certain."""
    certain = [each for each in entries if each["certain"]]
    parts = [(_place(each), each["objects"]) for each in certain[:PATHS_SHOWN]]
    if rest := certain[PATHS_SHOWN:]:
        parts.append((f"{len(rest)} more", sum(each["objects"] for each in rest)))
    if parts:
        parts[0] = (f"by {parts[0][0]}", parts[0][1])
    parts += [(UNSEEN[each["how"]], each["objects"]) for each in entries if each["how"] in UNSEEN]
    if not parts:
        return ""
    first, *others = (f"{name} ({count(number)}" for name, number in parts)
    texts = [f"{first} of {count(freed)})", *(f"{each})" for each in others)]
    return ", ".join(texts[:-1]) + f" and {texts[-1]}" if others else texts[0]


def _place(entry: Mapping[str, Any]) -> str:
    """The path, and which way sampled ones came: free_msg [of 49 whose path is known: 40 by do_msgrcv]."""
    own, known = len(entry["path"]), entry.get("paths", ())
    many = [each for each in known[:PATHS_SHOWN] if each["objects"] >= RARE * entry["stack_of"]]
    shown = [f"{count(each['objects'])} by {_path({**each, 'path': each['path'][own:]})}" for each in many]
    if not shown:
        return _path(entry)
    return f"{_path(entry)} [of {count(entry['stack_of'])} whose path is known: {', '.join(shown)}]"


def _path(entry: Mapping[str, Any]) -> str:
    """As "consume_skb <- udp_recvmsg", and the context if it is not that of a task."""
    path = " <- ".join(entry["path"])
    context = str(entry["context"])
    return f"{path} in {context}" if context and kind_of(context) != TASK else path


def _stopped(entry: Mapping[str, Any]) -> str:
    last = f"freed its last one {duration(entry['last_ns'])} after the start"
    return f"{_path(entry)} {last}, though siblings still came"


def _others(row: Mapping[Any, Any]) -> str:
    """Of what was never freed: who frees other objects of its call site or cache."""
    entries: Sequence[Mapping[str, Any]] = list(row.get("others_freed_by") or [])
    if not entries or not entries[0]["certain"]:
        return ""
    freed = round(entries[0]["objects"] / max(entries[0]["share"], 1e-9))
    return f"none was freed; other objects of this {entries[0]['of']} were freed {_listed(entries, freed)}"
