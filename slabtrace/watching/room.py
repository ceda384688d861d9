# SPDX-License-Identifier: Apache-2.0
"""Bounds the disk: what is oldest goes first, until all files of the service find room.

In this order: parts of earlier series, digests but the newest ones, triggered recordings but the newest one,
parts of this series but the two newest (the recorder carries one into the other).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from slabtrace.errors import UsageError
from slabtrace.series.parts import SUFFIX as PART_SUFFIX
from slabtrace.trace.files.place import remove_trace
from slabtrace.watching.judgement import DIGESTS
from slabtrace.watching.recorder import PREFIX

TRIGGERED = "triggered"
KEPT_DIGESTS = 256


def bytes_of(path: Path) -> int:
    """Bytes of all files in a folder, as they are on the disk; links are not followed."""
    total = 0
    with suppress(OSError), os.scandir(path) as there:
        for entry in there:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += bytes_of(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def make_room(folder: Path, most_bytes: int, keep: int, series: Sequence[Path]) -> int:
    """Delete what is too much; gives the bytes that are left.

    `keep`: so many parts at most; `series`: those of the present one, oldest first.
    """
    parts = [*_earlier(folder, series), *series]
    for part in parts[: max(len(parts) - keep - 1, 0)]:
        if part not in series:  # its recorder deletes these
            _remove(part)
    _remove_all(_digests(folder)[:-KEPT_DIGESTS])
    total = bytes_of(folder)
    for path in _superfluous(folder, series):
        if total <= most_bytes:
            break
        _remove(path)
        total = bytes_of(folder)
    return total


def _superfluous(folder: Path, series: Sequence[Path]) -> Iterator[Path]:
    yield from _earlier(folder, series)
    yield from _digests(folder)[:-8]
    yield from _by_age((folder / TRIGGERED).glob("*"))[:-3]  # the newest: a trace, a page, a digest
    yield from series[:-2]


def _earlier(folder: Path, series: Sequence[Path]) -> list[Path]:
    """Parts of earlier series; the name says when one began."""
    return sorted(path for path in folder.glob(f"{PREFIX}*{PART_SUFFIX}") if path not in series)


def _digests(folder: Path) -> list[Path]:
    return _by_age((folder / DIGESTS).glob("*"))


def _by_age(paths: Iterator[Path]) -> list[Path]:
    found = []
    for path in paths:
        with suppress(OSError):
            found.append((path.lstat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _remove_all(paths: Sequence[Path]) -> None:
    for path in paths:
        _remove(path)


def _remove(path: Path) -> None:
    """Delete a trace, or a file; what somebody else put there as a folder stays."""
    with suppress(OSError, UsageError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.suffix == PART_SUFFIX:
            remove_trace(path)
        elif path.name.startswith("."):
            shutil.rmtree(path)
