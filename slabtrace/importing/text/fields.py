# SPDX-License-Identifier: Apache-2.0
"""The fields of one event's text: what is after its time, and who ran, before the CPU.

The forms of all kernels and of perf, trace-cmd and ftrace: a call site is an address (to 5.4, or raw), a name
with its offset, or both; the fields come in any order; blanks may be missing, and lines may be cut.  These
functions see each different text once (text.py), so they need not be fast.
"""

from __future__ import annotations

import re

from slabtrace.importing.records import KINDS, Site, Symbol, Task
from slabtrace.importing.text.gfp_names import gfp_flags

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
_EVENT = re.compile(rb"\s*(?:kmem:)?(\w+):(?:\s|$)")
_SYMBOL = rb"([^\s+()=\[\]]{1,512})\+0x([0-9a-f]{1,16})(?:/0x[0-9a-f]+)?(?: \[([^\]\s]{1,64})\])?"
_PREFIX = re.compile(rb"\(" + _SYMBOL + rb"\)")
_NAMED_SITE = re.compile(rb"call_site=" + _SYMBOL)
_BARE_SITE = re.compile(rb"call_site=([A-Za-z_.][^\s=]{0,511})")
_RAW_SITE = re.compile(rb"call_site=(?:0x)?([0-9a-f]{1,16})(?![0-9A-Za-z_+.])")
_NUMBER = rb"=\(?(0x[0-9a-f]{1,16}|-?\d{1,20})"
_REQ, _ALLOC, _NODE = (re.compile(name + _NUMBER) for name in (b"bytes_req", b"bytes_alloc", b"node"))
_GFP = re.compile(rb"gfp_flags=([\w|()-]+)")
_NAME = re.compile(rb"\bname=(.{1,128}?)(?= \w+=|\s*$)")
_ACCOUNTED = re.compile(rb"accounted=\(?(true|false|[01])")
_HEAD = re.compile(rb"^\s*(.*?)-(\d{1,10})\s+(?:\(\s*([\d-]{1,10})\)\s*)?$", re.DOTALL)
_PERF_HEAD = re.compile(rb"^\s*(.*?)\s+(\d{1,10})(?:/(\d{1,10}))?\s+$", re.DOTALL)
_UNKNOWN = b"<...>"


def text(raw: bytes) -> str:
    """As text; what is not UTF-8 becomes escapes."""
    return raw.decode(errors="backslashreplace")


def event_of(after_time: bytes) -> str:
    """The name of a kmem event that this text is of, empty if it is of none."""
    found = _EVENT.match(after_time)
    name = found[1].decode() if found else ""
    return name if name in KINDS else ""


def site_of(after_time: bytes) -> Site | None:
    """The site of an event: `after_time` is its text from its name on.  None: it is no kmem event."""
    event = event_of(after_time)
    if not event:
        return None
    address, symbol = _call_site(after_time)
    flags, named = gfp_flags(_first(_GFP, after_time))
    accounted = _first(_ACCOUNTED, after_time)
    return Site(
        event,
        address,
        symbol,
        _number(_REQ, after_time) & MASK32,
        _number(_ALLOC, after_time) & MASK32,
        flags,
        named,
        _node(_number(_NODE, after_time, -1)),
        _first(_NAME, after_time).strip(),
        None if not accounted else accounted in ("true", "1"),
    )


def whole(site: Site) -> bool:
    """Whether no field is missing that every event of this kind has: its line was not cut."""
    free = site.event in ("kfree", "kmem_cache_free")
    return free or (site.bytes_alloc > 0 and site.bytes_req > 0)


def task_of(head: bytes) -> Task:
    """Who ran: `head` is a line up to the bracket of its CPU.

    "sshd-12 ", "a-b-7 (   5) " of ftrace and trace-cmd; "sshd 12 ", "sshd 5/12 " (process, thread) of perf.
    """
    found = _HEAD.match(head)
    if found:
        group = found[3] or b""
        tgid = int(group) & MASK32 if group.isdigit() else 0
        return Task(int(found[2]) & MASK32, tgid, _comm(found[1]))
    found = _PERF_HEAD.match(head)
    if found:
        one = int(found[2]) & MASK32
        return (
            Task(int(found[3]) & MASK32, one, _comm(found[1])) if found[3] else Task(one, 0, _comm(found[1]))
        )
    return Task()


def symbol_of(written: bytes) -> Symbol | None:
    """The symbol in "func+0x1a/0x80 [module]", or "func" alone; None: there is none."""
    found = re.match(_SYMBOL, written)
    if found:
        return Symbol(text(found[1]), int(found[2], 16), text(found[3] or b""))
    bare = re.match(rb"([A-Za-z_.][^\s+()]{0,511})", written)
    return Symbol(text(bare[1])) if bare else None


def _call_site(after_time: bytes) -> tuple[int, Symbol | None]:
    """The address (0: not known) and the name (None: not known) of the call site."""
    raw, named, prefix = (each.search(after_time) for each in (_RAW_SITE, _NAMED_SITE, _PREFIX))
    if raw:
        return int(raw[1], 16), _made(prefix) if prefix else None
    if named:
        return 0, _made(named)
    bare = _BARE_SITE.search(after_time)
    return 0, Symbol(text(bare[1])) if bare else None


def _made(found: re.Match[bytes]) -> Symbol:
    return Symbol(text(found[1]), int(found[2], 16), text(found[3] or b""))


def _comm(raw: bytes) -> str:
    return "" if raw == _UNKNOWN else text(raw)


def _first(pattern: re.Pattern[bytes], where: bytes) -> str:
    found = pattern.search(where)
    return text(found[1]) if found else ""


def _number(pattern: re.Pattern[bytes], where: bytes, otherwise: int = 0) -> int:
    found = pattern.search(where)
    return int(found[1], 0) if found and not _octal(found[1]) else otherwise


def _octal(number: bytes) -> bool:
    """Whether Python takes a number as octal, and refuses it."""
    digits = number.lstrip(b"-")
    return len(digits) > 1 and digits.startswith(b"0") and not digits.startswith(b"0x")


def _node(number: int) -> int:
    """A NUMA node: raw fields print -1 as 0xffffffff."""
    signed = number - (1 << 32) if number == MASK32 else number
    return signed if -1 <= signed < 1 << 15 else -1
