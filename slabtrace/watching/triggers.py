# SPDX-License-Identifier: Apache-2.0
"""The grammar of `--when`: what has to be seen before a full recording is made.

growth > 10MiB/h for 10min             SUnreclaim of /proc/meminfo grows
SUnreclaim > 4GiB for 1min             it is larger than that
cache kmalloc-64 > 1MiB/h for 30min    so do, or are, the caches that match a pattern, together
cache 'kmalloc-*' > 2GiB
finding                                a suspected leak that was not known
finding growing '*msgsnd*' > 1MiB/h    one of this class, whose title matches, certainly growing so
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slabtrace.errors import UsageError
from slabtrace.units import parse_duration, parse_growth, parse_size

MEMORY, CACHE, FINDING = "SUnreclaim", "cache", "finding"
CLASSES = ("suspect", "growing")
GROWTH_FOR_S = 600.0  # without "for"
LONGEST_S = 86_400.0
LEAST_GROWTH_S = 60.0  # over less, growth is noise
MOST_TEXT = 200
HOW = (
    "write 'growth > 10MiB/h for 10min', 'SUnreclaim > 4GiB', 'cache kmalloc-64 > 1MiB/h for 30min', "
    "'finding', or \"finding growing '*msgsnd*' > 1MiB/h\""
)


@dataclass(frozen=True)
class Trigger:
    """`text`: as it was written.  `kind`: MEMORY, CACHE or FINDING.  `glob`: of caches, or of titles.

    `limit`: bytes, or with `growth` bytes a second; None: any.  `for_s`: how long it has to be exceeded.
    `classes`: of findings.
    """

    text: str
    kind: str
    glob: str = "*"
    limit: float | None = None
    growth: bool = False
    for_s: float = 0.0
    classes: tuple[str, ...] = ()

    def means(self, name: str) -> bool:
        """Whether its pattern matches the cache, or the title of a finding."""
        return fnmatchcase(name, self.glob)


def parse_trigger(text: str) -> Trigger:
    """The trigger that `text` describes.  Raises UsageError, which says how to write one."""
    if len(text) > MOST_TEXT:
        raise UsageError(f"a trigger has at most {MOST_TEXT} characters", HOW)
    subject, greater, condition = text.partition(">")
    try:
        words = shlex.split(subject)
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    if words[:1] == [FINDING]:
        return _of_finding(text, words[1:], condition.strip() if greater else None)
    kind, glob, growing = _measure(text, words)
    if not condition.strip():
        raise _wrong(text, "it has no limit")
    return _of_measure(text, kind, glob, growing, condition)


def _measure(text: str, words: list[str]) -> tuple[str, str, bool]:
    """What is measured: its kind, its pattern, and whether the word growth is there."""
    growing = words[:1] == ["growth"] or words[-1:] == ["growth"]
    rest = [word for word in words if word not in ("growth", "of")] if growing else words
    if rest in ([MEMORY], []) and words:
        return MEMORY, "*", growing
    if len(rest) == 2 and rest[0] == CACHE:
        return CACHE, rest[1], growing
    raise _wrong(text, "it does not begin with growth, SUnreclaim, cache NAME or finding")


def _of_measure(text: str, kind: str, glob: str, growing: bool, condition: str) -> Trigger:
    amount, _, time = (
        each.strip() for each in re.sub(r"\s+for\s+", "\0", condition, count=1).partition("\0")
    )
    a_growth = "/" in amount
    if growing and not a_growth:
        raise _wrong(text, f"{amount!r} is no growth, like 10MiB/h")
    try:
        limit = parse_growth(amount) if a_growth else parse_size(amount)
        for_s = parse_duration(time) / 1e9 if time else GROWTH_FOR_S if a_growth else 0.0
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    if not (LEAST_GROWTH_S if a_growth else 0) <= for_s <= LONGEST_S:
        raise _wrong(text, "growth is measured for 1min to 1d, a size for up to 1d")
    return Trigger(text, kind, glob, limit, a_growth, for_s)


def _of_finding(text: str, words: list[str], condition: str | None) -> Trigger:
    classes = tuple(word for word in words if word in CLASSES) or CLASSES[:1]
    globs = [word for word in words if word not in CLASSES]
    if len(globs) > 1:
        raise _wrong(text, f"{globs[1]!r} is one word too many; a pattern with spaces needs quotes")
    try:
        limit = None if condition is None else parse_growth(condition)
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    return Trigger(text, FINDING, (globs or ["*"])[0], limit, limit is not None, 0.0, classes)


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} is no trigger: {why}", HOW)
