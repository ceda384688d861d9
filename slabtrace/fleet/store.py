# SPDX-License-Identifier: Apache-2.0
"""Digests that were made before: a folder of files named by fingerprint, each renamed into place.

A run that is killed loses only what it was reading: the next one goes on.  A trace that kills its reader is
marked while it is read, so that a third run leaves it out.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from slabtrace import __version__
from slabtrace.fleet.digests.file import MAJOR, MINOR, MOST_BYTES, SUFFIX

MOST_KILLS = 2
_LAST_BYTES = b"PAR1"  # of every Parquet file
_KEY = re.compile(r"[a-z0-9-]{1,80}")


class Store:
    """The folder `folder`, which is made (mode 0700).  Raises OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._marks: dict[str, str] = {}

    def get(self, key: str) -> bytes | None:
        """The digest of the trace with this key, made by this version of slabtrace; None: there is none.

        One that a crash of the machine cut is none: it is made again.
        """
        content = b""
        with suppress(OSError), self._path(key).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        return content if content.endswith(_LAST_BYTES) else None

    def put(self, key: str, content: bytes) -> None:
        """Keep a digest: whole or not at all.  Raises OSError."""
        descriptor, beside = tempfile.mkstemp(prefix=".digest-", dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(beside).replace(self._path(key))
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise

    def kills(self, key: str) -> int:
        """How many readers of this trace have died."""
        with suppress(OSError):
            return self.mark(key).stat().st_size
        return 0

    def begin(self, key: str) -> None:
        """Mark the trace as being read."""
        with self.mark(key).open("ab") as file:
            file.write(b"+")

    def end(self, key: str) -> None:
        """The reader of the trace lives."""
        self.mark(key).unlink(missing_ok=True)

    def mark(self, key: str) -> Path:
        """The file that marks it; it has one byte for each reader that began and did not end."""
        return self.folder / f"{self._checked(key)}.reading"

    def _path(self, key: str) -> Path:
        return self.folder / f"{self._checked(key)}.{MAJOR}.{MINOR}-{__version__}{SUFFIX}"

    def _checked(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} names no digest")
        return key


def default_folder() -> Path:
    """$XDG_CACHE_HOME/slabtrace/digests."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "slabtrace" / "digests"
