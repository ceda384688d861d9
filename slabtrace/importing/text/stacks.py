# SPDX-License-Identifier: Apache-2.0
"""Stacks as text: the lines " => func" of ftrace, and "ffff... func+0x1a ([kernel.kallsyms])" of perf.

Frames of user programs are left out, and so are those of the allocator itself, inside the call site: the
recorder leaves them out, too (innermost first).
"""

from __future__ import annotations

import re

from slabtrace.importing.records import Frame
from slabtrace.importing.text.fields import symbol_of

MOST_FRAMES = 127  # as the kernel's own stacks have
_KEPT = 100_000  # different texts remembered: with user frames there may be endlessly many
_ARROW = re.compile(rb"^\s*=>\s*(\S.*?)\s*$")
_ADDRESS = re.compile(rb"^\s*([0-9a-f]{1,16})\s+(\S.*?)\s*$")
_OBJECT = re.compile(rb"^(.*?)\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)$")
_USER = 1 << 47  # addresses below are of user programs on 64-bit machines
_ALLOCATOR = re.compile(
    r"^\.?(__traceiter_|trace_event_raw_event_|perf_trace_|kmem_cache_|__kmem_cache_|kmalloc|__kmalloc|"
    r"__do_kmalloc|kfree$|slab_|__slab_|___slab_|kzalloc|krealloc|__do_krealloc|kvmalloc|__kvmalloc)"
)


class Stacks:
    """Reads stacks, remembering the last texts."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Frame, ...]] = {}

    def frames(self, lines: bytes) -> tuple[Frame, ...]:
        """The frames of the kernel in these lines, from the call site outwards."""
        known = self._known.get(lines)
        if known is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            known = self._known[lines] = _outside(tuple(_frames(lines)))
        return known


def _frames(lines: bytes) -> list[Frame]:
    found: list[Frame] = []
    for line in lines.splitlines()[: 4 * MOST_FRAMES]:
        frame = _frame(line)
        if frame is not None and len(found) < MOST_FRAMES:
            found.append(frame)
    return found


def _frame(line: bytes) -> Frame | None:
    """The frame of a line; None: it is of a user program, or none at all."""
    arrow = _ARROW.match(line)
    if arrow:
        return Frame(0, symbol_of(arrow[1]))
    plain = _ADDRESS.match(line)
    if not plain:
        return None
    address, rest = int(plain[1], 16), plain[2]
    named = _OBJECT.match(rest)
    where = named[2] if named else b""
    if not _of_the_kernel(where, address):
        return None
    name = named[1] if named else rest
    symbol = None if name.startswith(b"[unknown") else symbol_of(name)
    if symbol is not None and where.startswith(b"[") and where != b"[kernel.kallsyms]":
        symbol = symbol._replace(module=symbol.module or where[1:-1].decode(errors="backslashreplace"))
    return Frame(address, symbol) if symbol or address else None


def _of_the_kernel(where: bytes, address: int) -> bool:
    """Whether a frame in the file `where` (as perf names it) is of the kernel."""
    if where.startswith(b"["):
        return not where.startswith((b"[unknown", b"[vdso", b"[vsyscall", b"[stack", b"[heap"))
    if not where:
        return address >= _USER
    return b"vmlinux" in where or b"/kernel/" in where or where.endswith((b".ko", b".ko.xz", b".ko.zst"))


def _outside(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Without the allocator's own frames at the begin."""
    for at, frame in enumerate(frames):
        if frame.symbol is not None and not _ALLOCATOR.match(frame.symbol.name):
            return frames[at:]
    return frames
