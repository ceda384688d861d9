# SPDX-License-Identifier: Apache-2.0
"""A shell glob as a bit-parallel automaton that a BPF program can run (bpf/filter.h, FILTER_COMM).

Bit i of the state means that the first i elements of the pattern have matched.  For a character c,
state' = (state & step[c]) << 1 | (state & loop): the Shift-And algorithm (Baeza-Yates and Gonnet,
1992), with self-loops for `*`.
"""

from __future__ import annotations

import os
import re

from slabtrace.errors import UsageError

_ELEMENT = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.S)
MAX_ELEMENTS = 31  # bits of a u32 state, less the start


class CommGlob:
    """`*`, `?`, `[abc]`, `[a-z]`, `[!a]` and plain characters, over the bytes of a comm.

    Raises UsageError for a pattern that is empty or too long.
    """

    def __init__(self, pattern: str) -> None:
        elements, loops = self._parse(pattern)  # loops: the states that a `*` lets stay
        self.loop = sum(1 << i for i in loops)
        self.accept = 1 << len(elements)
        self.step = [
            sum(1 << i for i, element in enumerate(elements) if _accepts(element, c)) for c in range(256)
        ]

    def matches(self, comm: str) -> bool:
        """Whether a BPF program with this automaton accepts the comm."""
        state = 1
        for c in os.fsencode(comm)[:15]:
            state = ((state & self.step[c]) << 1) | (state & self.loop)
        return bool(state & self.accept)

    @staticmethod
    def _parse(pattern: str) -> tuple[list[bytes], set[int]]:
        elements: list[bytes] = []
        loops: set[int] = set()
        for element in _ELEMENT.findall(pattern):
            if element.startswith("*"):
                loops.add(len(elements))
            elif len(element) > 1:
                elements.append(os.fsencode(element))
            else:  # a character may be several bytes
                elements += [bytes([byte]) for byte in os.fsencode(element)]
        if not pattern or len(elements) > MAX_ELEMENTS:
            raise UsageError(
                f"--comm {pattern!r} is " + ("too long" if pattern else "empty"),
                "a comm has 15 characters at most; use * and ? to match several",
            )
        return elements, loops


def _accepts(element: bytes, c: int) -> bool:
    if element == b"?":
        return True
    if len(element) == 1:
        return element[0] == c
    body = element[1:-1]
    negated = body.startswith(b"!")
    return _in_set(body[1:] if negated else body, c) != negated


def _in_set(body: bytes, c: int) -> bool:
    i = 0
    while i < len(body):
        if i + 2 < len(body) and body[i + 1] == ord("-"):
            if body[i] <= c <= body[i + 2]:
                return True
            i += 3
        else:
            if body[i] == c:
                return True
            i += 1
    return False
