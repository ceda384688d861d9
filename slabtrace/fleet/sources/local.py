# SPDX-License-Identifier: Apache-2.0
"""Traces and digests in this machine's folders.

A stranger may have filled the folder: links are not followed, which may point at any file of the reader, and
FIFOs are not opened, at which a reader would wait forever.  Both are named.  Things may disappear at any
moment, as parts of a series do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slabtrace.fleet.sources.items import DIGEST, FOLDER, PACKED, Found, Item, is_trace_name, kind_of_file
from slabtrace.trace.format import schema

LINK = "a link, which may lead anywhere: name its target"
NOT_PLAIN = "not a plain file"
DEEPEST = 64  # folders in folders


def find(place: str) -> Found:
    """What is at `place`: a trace, a packed one, a digest, or a folder of them.  Nothing: it is unread."""
    path = Path(place.removeprefix("file://"))
    if not path.exists():
        return Found(unread=[(place, "does not exist")])
    if path.is_dir():
        found = Found()
        if is_trace(path):
            found.items.append(_folder(path))
        else:
            _walk(path, found, DEEPEST)
        return found
    if not path.is_file():
        return Found(unread=[(place, NOT_PLAIN)])
    kind = kind_of_file(path.name) or (DIGEST if path.name.endswith(".parquet") else PACKED)
    return Found([Item(kind, place, path.stat().st_size)])


def is_trace(path: Path) -> bool:
    """Whether the folder is a trace."""
    return is_trace_name(path.name) or (path / schema.MANIFEST).is_file()


def _walk(folder: Path, found: Found, depth: int) -> None:
    for entry in _entries(folder, found):
        try:
            _meet(entry, found, depth)
        except FileNotFoundError:
            continue  # it disappeared before it was known to be a trace
        except OSError as error:
            found.unread.append((entry.path, error.strerror or str(error)))


def _meet(entry: os.DirEntry[str], found: Found, depth: int) -> None:
    mode = entry.stat(follow_symlinks=False).st_mode
    path = Path(entry.path)
    ours = kind_of_file(entry.name) or is_trace_name(entry.name)
    if stat.S_ISLNK(mode):
        if ours:
            found.unread.append((entry.path, LINK))
    elif stat.S_ISDIR(mode):
        if is_trace(path):
            found.items.append(_folder(path))
        elif depth:
            _walk(path, found, depth - 1)
        else:
            found.unread.append((entry.path, f"more than {DEEPEST} folders deep"))
    elif ours and not stat.S_ISREG(mode):
        found.unread.append((entry.path, NOT_PLAIN))
    elif kind := kind_of_file(entry.name):
        found.items.append(Item(kind, entry.path, entry.stat(follow_symlinks=False).st_size))


def _entries(folder: Path, found: Found) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as there:
            yield from sorted(there, key=lambda entry: entry.name)
    except OSError as error:
        found.unread.append((str(folder), error.strerror or str(error)))


def _folder(path: Path) -> Item:
    """A trace, with the bytes of its files."""
    total = 0
    for folder in (path, path / schema.EVENTS_DIR, path / schema.CARRIED_DIR):
        with suppress(OSError), os.scandir(folder) as there:
            for entry in there:
                with suppress(OSError):
                    mode = entry.stat(follow_symlinks=False)
                    total += mode.st_size if stat.S_ISREG(mode.st_mode) else 0
    return Item(FOLDER, str(path), total)
