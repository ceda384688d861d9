# SPDX-License-Identifier: Apache-2.0
"""The parts of a series: when one ends, what their folders are called, and where a series can be made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slabtrace.errors import UsageError
from slabtrace.trace.files.place import Place, check_place, make_place, remove_trace

SUFFIX = ".slab"


@dataclass(frozen=True)
class Rotation:
    """When a part ends: at so many bytes of files, after so many ns (None: no matter).  `keep`: parts."""

    bytes: int | None = None
    ns: int | None = None
    keep: int | None = None


def part_path(name: Path, number: int) -> Path:
    """The folder of a part of the series called `name` (with or without .slab)."""
    return name.with_name(f"{name.name.removesuffix(SUFFIX)}.{number:04d}{SUFFIX}")


def parts_of(name: Path) -> list[Path]:
    """The parts of the series `name` that are there, oldest first."""
    stem = re.escape(name.name.removesuffix(SUFFIX))
    found = (path for path in name.absolute().parent.glob(f"*{SUFFIX}"))
    return sorted(path for path in found if re.fullmatch(rf"{stem}\.\d{{4,}}{re.escape(SUFFIX)}", path.name))


def check_series(name: Path, force: bool) -> None:
    """Raise UsageError if no series can be made here.  With `force` parts may be there, and are deleted."""
    check_place(part_path(name, 1), force)
    there = parts_of(name)
    if there and not force:
        raise UsageError(
            f"{there[0]} exists already", "choose another name with -o, or add --force to replace the series"
        )
    for path in there:
        check_place(path, force)


def make_series(name: Path, owner: tuple[int, int] | None = None, force: bool = False) -> Place:
    """The folder of a new series' first part, as make_place makes one.  Raises as that."""
    check_series(name, force)
    for path in parts_of(name):
        remove_trace(path)
    return make_place(part_path(name, 1), owner, force)
