# SPDX-License-Identifier: Apache-2.0
"""/proc/allocinfo: memory by the source line that allocated it, where the kernel keeps such an account.

Documentation/mm/allocation-profiling.rst (CONFIG_MEM_ALLOC_PROFILING, 6.10): after a head of two lines, each
line has bytes, the number of allocations, and file:line, perhaps a module, and func:name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ALLOCINFO = Path("/proc/allocinfo")
_LINE = re.compile(r"^\s*(\d+)\s+(\d+)\s+(\S+:\d+)\s+(?:\[(\S+)\]\s+)?func:(\S+)")


class Allocation(NamedTuple):
    """What one source line has allocated and not freed, of slabs and of pages."""

    bytes: int
    calls: int
    place: str
    module: str
    function: str


def parse(text: str) -> Iterator[Allocation]:
    """The rows with bytes; what is no row is left out."""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match and int(match[1]):
            yield Allocation(int(match[1]), int(match[2]), match[3], match[4] or "", match[5])
