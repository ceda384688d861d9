# SPDX-License-Identifier: Apache-2.0
"""sar's memory lines, as `sadf -j FILE -- -r ALL` prints them (sysstat, json_print_memory_stats)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from slabtrace.capture.memory.texts import KIB, Counters
from slabtrace.errors import UsageError

# What sar calls it, and what /proc/meminfo does.
NAMES = {
    "memfree": "MemFree", "avail": "MemAvailable", "buffers": "Buffers", "cached": "Cached", "slab": "Slab",
    "anonpg": "AnonPages", "kstack": "KernelStack", "pgtbl": "PageTables", "vmused": "VmallocUsed",
    "hugfree": "HugeFree", "hugused": "HugeUsed",
}  # fmt: skip


class Sar(NamedTuple):
    """(label, time in s, counters) of each record, and what is to be said about them."""

    samples: list[tuple[str, float | None, Counters]]
    notes: list[str]


def samples(text: str) -> Sar:
    """The records of a document of sadf.  Raises UsageError if it is none, or has no memory lines."""
    found: list[tuple[str, float | None, Counters]] = []
    for record in _records(text):
        memory = record.get("memory")
        if isinstance(memory, dict) and isinstance(memory.get("memfree"), int):
            stamp = record.get("timestamp")
            label = f"{stamp.get('date', '')} {stamp.get('time', '')}" if isinstance(stamp, dict) else ""
            found.append((label, _time(label), _counters(memory)))
    if not found:
        raise UsageError("the JSON has no memory lines of sar", "make it with: sadf -j FILE -- -r ALL")
    missing = [] if all("meminfo.Slab" in each for _, _, each in found) else ["slab and others (-r ALL)"]
    lacking = ["tmpfs, Percpu and free pages in CPUs' own lists", *missing]
    return Sar(
        found, [f"sar does not record {' nor '.join(lacking)}: these are in other parts, or not known"]
    )


def _records(text: str) -> list[dict[str, Any]]:
    try:
        hosts = json.loads(text)["sysstat"]["hosts"]
        records = [each for host in hosts for each in host["statistics"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("this is no JSON of sadf", "make it with: sadf -j FILE -- -r ALL") from None
    return [each for each in records if isinstance(each, dict)]


def _counters(memory: dict[str, Any]) -> Counters:
    return {
        f"meminfo.{name}": memory[key] * KIB
        for key, name in NAMES.items()
        if isinstance(memory.get(key), int) and 0 <= memory[key] < 1 << 50
    }


def _time(label: str) -> float | None:
    try:
        return datetime.strptime(label, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
