# SPDX-License-Identifier: Apache-2.0
"""What names a trace wherever a copy of it lies: its manifest, and the names and sizes of its files.

A trace that is still being recorded has another fingerprint a second later; a packed copy has the same.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pyarrow as pa

from slabtrace.errors import TraceError
from slabtrace.trace.files.files import Files, files_of
from slabtrace.trace.format.schema import MANIFEST
from slabtrace.trace.manifest import MOST_BYTES

LENGTH = 16  # bytes: 32 hexadecimal digits


def fingerprint(path: Path) -> str:
    """The fingerprint of the trace at `path`.  Raises TraceError if there is none, FileNotFoundError if it
    disappears meanwhile.
    """
    files = files_of(path)
    made = blake2b(digest_size=LENGTH)
    made.update(_content(files, path))
    for name in files.names():
        if name != MANIFEST:
            made.update(f"\0{name}\0{_size(files, name)}".encode())
    return made.hexdigest()


def _content(files: Files, path: Path) -> bytes:
    try:
        with files.open(MANIFEST) as file:
            if file.size() > MOST_BYTES:
                raise TraceError(f"{path / MANIFEST} is too long for a manifest", "The trace is damaged.")
            return bytes(file.read())
    except (KeyError, FileNotFoundError):
        raise TraceError(
            f"{path} has no {MANIFEST}", "Is it a slabtrace trace (a NAME.slab folder)?"
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise TraceError(f"{path / MANIFEST} cannot be read: {error}") from None


def _size(files: Files, name: str) -> int:
    """Bytes of a file; -1 where it cannot be read, which the digest will say."""
    try:
        with files.open(name) as file:
            return int(file.size())
    except (OSError, pa.ArrowException):
        return -1
