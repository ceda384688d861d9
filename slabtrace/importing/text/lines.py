# SPDX-License-Identifier: Apache-2.0
"""One line of text, field by field: for lines that `text.py` cannot take all at once.

These have no CPU or no time (`options/fields`, trace-cmd without its first columns), a strange number, or are
too long.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from slabtrace.importing.records import NO_CPU, NO_TIME
from slabtrace.importing.text.fields import MASK64, event_of

LONGEST_LINE = 4096  # bytes: longer ones are refused
_EVENT = re.compile(
    rb"(?:^|(?<=\s))(?:kmem:)?(?:kmalloc|kfree|kmem_cache_alloc|kmem_cache_free)(?:_node)?:\s"
)
_POINTER = re.compile(rb"\bptr=\s*(?:\(?(?:0x)?([0-9a-f]{1,16})\b\)?|\(+(?:null|nil)\)+)")
_TIME = re.compile(rb"(?:^|\s)(\d{1,10})\.(\d{6}|\d{9}):\s*$")
_CPU = re.compile(rb"\[(\d{1,5})\][^\[\]]{0,40}$")
NANOSECONDS = {6: 1000, 9: 1}  # of the last digit of a time
LAST_SECOND = 9_000_000_000  # 2^63 ns


class Line(NamedTuple):
    """A line's parts.  `digits`: of the pointer, 0 for "(null)"; `site`: the text without the pointer."""

    ts_ns: int
    cpu: int
    head: bytes
    ptr: int
    digits: int
    site: bytes


def parsed(line: bytes) -> Line | None:
    """The parts of a kmem event's line; None: it is not one, or is not whole."""
    events = list(_EVENT.finditer(line)) if len(line) <= LONGEST_LINE else []
    for event in events:
        after = line[event.start() :]
        pointer = _POINTER.search(after)
        if pointer and event_of(after):
            before = line[: event.start()]
            ts_ns, before = _time(before)
            cpu, head = _cpu(before)
            rest = after[: pointer.start()] + b"ptr=0" + after[pointer.end() :]
            value = int(pointer[1] or b"0", 16) & MASK64
            return Line(ts_ns, cpu, head, value, len(pointer[1] or b""), rest)
    return None


def _time(before: bytes) -> tuple[int, bytes]:
    found = _TIME.search(before)
    if not found or int(found[1]) >= LAST_SECOND:
        return NO_TIME, before
    fraction = int(found[2]) * NANOSECONDS[len(found[2])]
    return int(found[1]) * 1_000_000_000 + fraction, before[: found.start()]


def _cpu(before: bytes) -> tuple[int, bytes]:
    found = _CPU.search(before)
    return (int(found[1]), before[: found.start()]) if found else (NO_CPU, before if b"-" in before else b"")
