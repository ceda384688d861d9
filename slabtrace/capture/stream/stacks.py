# SPDX-License-Identifier: Apache-2.0
"""Read kernel stacks out of the three stack maps of bpf/stack.h."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterable

from slabtrace.capture.programs.compiler import import_bcc
from slabtrace.capture.programs.layout import header_numbers
from slabtrace.capture.programs.loading import Programs

DEPTH = 127  # frames, the depth of bcc's stack maps and the kernel's default limit


class StackReader:
    """Reads each stack once: a stack never changes under its id."""

    def __init__(self, programs: Programs) -> None:
        numbers = header_numbers("stack.h")
        self._later = numbers["SECOND_MAP"] | numbers["THIRD_MAP"]
        self._fds = {
            0: programs.map_fd("stacks"),
            numbers["SECOND_MAP"]: programs.map_fd("stacks2"),
            numbers["THIRD_MAP"]: programs.map_fd("stacks3"),
        }
        self._known: set[int] = set()
        self._lookup = import_bcc().libbcc.lib.bpf_lookup_elem
        self._leaf = (ct.c_uint64 * DEPTH)()

    def new_stacks(self, sites: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
        """(stack_id, frames) of the stacks that were not read before, from (stack_id, call_site) pairs.

        Frames are addresses, innermost first.  A stack begins at the call site: the frames further in are
        the allocator's and the tracepoint's, the same for all.
        """
        stacks = []
        for stack_id, call_site in sites:
            if stack_id < 0 or stack_id in self._known:
                continue
            self._known.add(stack_id)
            stacks.append((stack_id, from_call_site(self._read(stack_id), call_site)))
        return stacks

    def _read(self, stack_id: int) -> list[int]:
        key = ct.c_uint32(stack_id & ~self._later)
        if self._lookup(self._fds[stack_id & self._later], ct.byref(key), ct.byref(self._leaf)) != 0:
            return []
        frames = list(self._leaf)
        return frames[: frames.index(0)] if 0 in frames else frames


def from_call_site(frames: list[int], call_site: int) -> list[int]:
    """The frames from the call site outwards.  If the call site is not among them, it is put in front."""
    if call_site in frames:
        return frames[frames.index(call_site) :]
    return [call_site, *frames]
