# SPDX-License-Identifier: Apache-2.0
"""A shell glob as a bit-parallel automaton that a BPF program can run (bpf/glob.h).

Bit i of the state means that the first i elements of the pattern have matched.  For a character c,
state' = (state & step[c]) << 1 | (state & loop): the Shift-And algorithm (Baeza-Yates and Gonnet,
1992), with self-loops for `*`.  A pattern of more than 63 elements takes several words of 64 bits.
"""

from __future__ import annotations

import os
import re

import numpy as np
from numpy.typing import NDArray

from slabtrace.errors import UsageError

_ELEMENT = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.S)
COMM_WORDS, CGROUP_WORDS = 1, 8  # words of the state, at most
_BITS = 64
_SLASH = ord("/")


class Glob:
    """`*`, `?`, `[abc]`, `[a-z]`, `[!a]` and plain characters, over the bytes of a text; `*` matches `/` too.

    `words`: of the state, as few as the pattern needs.  Raises UsageError for a pattern that is empty, or
    needs more than `most_words`; `option` and `remedy` are the error's.
    """

    def __init__(self, pattern: str, option: str, most_words: int, remedy: str) -> None:
        elements, loops = _parse(pattern)  # loops: the states that a `*` lets stay
        self.words = len(elements) // _BITS + 1
        if not pattern or self.words > most_words:
            most = most_words * _BITS - 1
            raise UsageError(
                f"{option} {pattern!r} is "
                + (f"too long: it may have {most} characters, not {len(elements)}" if pattern else "empty"),
                remedy,
            )
        self._loop = sum(1 << i for i in loops)
        self._accept = 1 << len(elements)
        self._step = [
            sum(1 << i for i, element in enumerate(elements) if _accepts(element, c)) for c in range(256)
        ]

    def matches(self, text: str) -> bool:
        """Whether a BPF program with this automaton accepts the text."""
        state = 1
        for c in os.fsencode(text):
            state = self._next(state, c)
        return bool(state & self._accept)

    def matches_path(self, path: str) -> bool:
        """Whether a BPF program accepts the path, or one above it (path_wanted, bpf/cgroup.h)."""
        state = 1
        for at, c in enumerate(os.fsencode(path)):
            if (c == _SLASH or at == 1) and state & self._accept:
                return True
            state = self._next(state, c)
        return bool(state & self._accept)

    def table(self) -> NDArray[np.uint64]:
        """What the programs read: step[256][words], loop[words], accept; shape (257 * words + 1,)."""
        rows = [word for bits in (*self._step, self._loop) for word in self._split(bits)]
        return np.array([*rows, self._split(self._accept)[-1]], np.uint64)

    def _next(self, state: int, c: int) -> int:
        return ((state & self._step[c]) << 1) | (state & self._loop)

    def _split(self, bits: int) -> list[int]:
        return [bits >> (_BITS * at) & ((1 << _BITS) - 1) for at in range(self.words)]


def comm_glob(pattern: str) -> Glob:
    """The automaton of --comm.  Raises UsageError."""
    remedy = "a comm has 15 characters at most; use * and ? to match several"
    return Glob(pattern, "--comm", COMM_WORDS, remedy)


def cgroup_glob(pattern: str) -> Glob:
    """The automaton of --cgroup.  Raises UsageError, also for a pattern that no path can match."""
    found = Glob(
        pattern, "--cgroup", CGROUP_WORDS, "a shorter glob, with * for a part, matches the same cgroup"
    )
    if pattern[0] not in "/*?[":
        raise UsageError(
            f"--cgroup {pattern!r} matches no cgroup: their paths begin with /",
            f"as in --cgroup '/{pattern}' or --cgroup '*/{pattern}'; /proc/PID/cgroup has paths",
        )
    return found


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
