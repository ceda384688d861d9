# SPDX-License-Identifier: Apache-2.0
"""What is to be read: traces in folders, packed traces, digests; on this machine or in an object store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b

from slabtrace.fleet.digests.file import SUFFIX as DIGEST_SUFFIX
from slabtrace.series.parts import SUFFIX as TRACE_SUFFIX
from slabtrace.trace.files.files import PACKED as PACKED_SUFFIX

FOLDER, PACKED, DIGEST = "folder", "packed", "digest"


@dataclass(frozen=True)
class Item:
    """`kind`: FOLDER, PACKED or DIGEST.  `place`: its path or URL.  `bytes`: its size.

    `files`: of a folder in an object store, (name in the trace, size) of each.  `stamp`: of an object store,
    when it was changed.
    """

    kind: str
    place: str
    bytes: int = 0
    remote: bool = False
    files: tuple[tuple[str, int], ...] = ()
    stamp: str = ""

    @property
    def shown(self) -> str:
        """Its place, without the name and the password that a URL may have."""
        return without_secrets(self.place) if self.remote else self.place

    @property
    def version(self) -> str:
        """What names this state of a thing in an object store, without reading it."""
        text = f"{self.place}\0{self.bytes}\0{self.stamp}\0{self.files}"
        return f"remote-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


@dataclass
class Found:
    """What was found, and (place, why) of what is left out."""

    items: list[Item] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take what was found elsewhere."""
        self.items += other.items
        self.unread += other.unread


def without_secrets(url: str) -> str:
    """A URL without the name and the password that may stand in it."""
    return re.sub(r"(?<=://)[^/@?]*@", "", url)


def kind_of_file(name: str) -> str:
    """PACKED or DIGEST, by the name; empty for any other file."""
    if name.endswith(DIGEST_SUFFIX):
        return DIGEST
    return PACKED if name.endswith(PACKED_SUFFIX) else ""


def is_trace_name(name: str) -> bool:
    """Whether a folder of this name is a trace."""
    return name.endswith(TRACE_SUFFIX)
