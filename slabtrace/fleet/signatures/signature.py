# SPDX-License-Identifier: Apache-2.0
"""The names of an issue that every host gives it, whatever its kernel's build, addresses and caches.

The issue is the family of the cache and the two innermost functions that count; the variant is the whole
folded stack.  Entry code (entry.txt) and allocation helpers (helpers.txt) do not count.

Example: one leak on two kernels.

    kmalloc-rnd-05-64: kmemdup_noprof+0x2a, do_msgsnd.isra.0+0x8c, __x64_sys_msgsnd+0x17, x64_sys_call+0x9
    kmalloc-64: kmemdup+0x21, do_msgsnd+0x80, __do_sys_msgsnd+0x3, do_syscall_64+0x71
    both: "kmalloc-64: do_msgsnd < sys_msgsnd"
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from slabtrace.analysis.names.frames import NO_SYMBOL, comparable, comparable_cache

VERSION = 1  # of this algorithm and of the lists; stands in every signature
COUNTED = 2  # functions of an issue
_LISTS = Path(__file__).resolve().parent
_LATER_SUFFIX = re.compile(r"\.(cfi_jt|cfi|resume|destroy|lto_priv)(\.\d+)?(?= |$)")


class Signature(NamedTuple):
    """`issue`, `variant`: names as "1:0123456789abcdef".  `title`: the issue in words.  `family`: of the
    cache.  `local`: a function that counts has no name, so it is the same on no other host.
    """

    issue: str
    variant: str
    title: str
    family: str
    local: bool


def signature(
    cache: str,
    stack: Sequence[str],
    symbol: str,
    others: Collection[str] = (),
    alias: str = "",
    host: str = "",
) -> Signature:
    """The signature of what was allocated from `cache` with this `stack` (innermost first).

    `symbol`: the call site, which stands for a stack that was not recorded.  `others`: names merged into the
    cache; `alias`: the one of them that is certainly meant.  `host`: what a local one is of.
    """
    folded = [_folded(frame) for frame in comparable(stack or ([symbol] if symbol else []))]
    entered = [frame for frame in folded if not _matches("entry", frame)]
    counted = [frame for frame in entered if not _matches("helpers", frame)][:COUNTED]
    counted = counted or (entered or folded)[:COUNTED]
    family = comparable_cache(alias or min([cache, *others], key=comparable_cache))
    local = not counted or NO_SYMBOL in [_name(frame) for frame in counted]
    whose = host if local else ""
    title = f"{family}: {' < '.join(counted) or NO_SYMBOL}"
    return Signature(_hash(family, *counted, whose), _hash(family, *entered, whose), title, family, local)


def _folded(frame: str) -> str:
    """A comparable frame, also without suffixes of control-flow integrity; modules are written with _."""
    name, bracket, module = _LATER_SUFFIX.sub("", frame).partition(" [")
    return f"{name}{bracket}{module.replace('-', '_')}"


def _name(frame: str) -> str:
    return frame.partition(" [")[0]


def _hash(*parts: str) -> str:
    joined = "\0".join(part.replace("\0", "\0\0") for part in parts)
    return f"{VERSION}:{blake2b(joined.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _matches(name: str, frame: str) -> bool:
    return "[" not in frame and _pattern(name).fullmatch(frame) is not None


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """The list NAME.txt as one expression.  Lists are of the kernel itself: a module's function counts."""
    lines = (_LISTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return re.compile("|".join(f"(?:{line})" for line in lines if line and not line.startswith("#")))
