# SPDX-License-Identifier: Apache-2.0
"""The kernel's slab caches: sizes, names that merged, objects; all without slabtrace."""

from __future__ import annotations

from pathlib import Path

_SLABINFO, _SYSFS = Path("/proc/slabinfo"), Path("/sys/kernel/slab")


def _rows() -> list[list[str]]:
    return [line.split() for line in _SLABINFO.read_text().splitlines()[2:]]


def active_objects() -> dict[str, int]:
    """Objects in use, by cache; those free on a CPU's own slabs count as in use."""
    return {row[0]: int(row[1]) for row in _rows()}


def sizes() -> dict[str, int]:
    """What an object occupies, bytes, by cache."""
    return {row[0]: int(row[3]) for row in _rows()}


def shown_names() -> dict[str, str]:
    """Every name of a cache, and the one by which the kernel shows it: it merges caches alike.

    Both names are links to one folder; /proc/slabinfo has one of them.
    """
    by_folder: dict[str, list[str]] = {}
    for path in _SYSFS.iterdir() if _SYSFS.exists() else ():
        by_folder.setdefault(path.resolve().name, []).append(path.name)
    shown = set(sizes())
    names = {each: each for each in shown}
    for together in by_folder.values():
        seen = [each for each in together if each in shown]
        names |= {each: seen[0] for each in together if seen}
    return names
