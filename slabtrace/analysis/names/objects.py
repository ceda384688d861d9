# SPDX-License-Identifier: Apache-2.0
"""What an object is, by who allocated it: the kernel merges caches, so the cache's name alone may mislead.

The call site and the frames above it are looked up in known_objects.py, as long as these allocate for their
callers.  The outermost that is known says most.  It counts only if it allocates from the object's cache, by
name or alias, and nothing else from there.

Example: 40 objects of signal_cache, into which UNIX and UNIX-STREAM are merged.

    sk_prot_alloc < sk_alloc < unix_create1 < unix_create       UNIX socket
    copy_process < kernel_clone                                 signal state of a process
    some_function [my_module]                                   not known: its aliases are listed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from slabtrace.analysis.names.cache_names import LARGE
from slabtrace.analysis.names.frames import comparable_function, function
from slabtrace.analysis.names.known_objects import KINDS, PASSED_THROUGH, WITHIN, Kind

INNER = 12  # frames that are looked at
ALIASES_SHOWN = 3
KMALLOC = ("kmalloc-*", LARGE)
OTHER = "other"  # objects of a row beside known ones
KINDS_SHOWN = 3  # of one row
_HEAD = re.compile(r"(.*?)( (?:of|in|on|for|and) | \(|$)(.*)")
_OF_FILES = ("inode", "dentry", "list of a file's locks", "link of a file", "extended attribute")
_UNCOUNTED = ("data", "bookkeeping", "s")


def kind_of(cache: str, aliases: Sequence[str], symbol: str, stack: Sequence[str] = ()) -> Kind | None:
    """What an object of `cache` is; None: not known.

    `aliases`: the names merged into the cache; `symbol`: who called the allocator ("": not distinguished);
    `stack`: the frames, innermost first, with or without that call site as their first.
    """
    names = (cache, *aliases)
    functions = [_function(each) for each in ([symbol, *stack] if symbol else stack)[:INNER]]
    found = None
    for name in functions:
        found = _allocated_by(name, names) or found
        if name not in PASSED_THROUGH:
            break
    return found or _within(functions) or (None if aliases else _by_cache(cache))


def alias_of(kind: Kind | None, cache: str, aliases: Sequence[str]) -> str:
    """Of a cache and the names merged into it, the one that `kind` is allocated from; "" if not certain."""
    if kind is None or not aliases:
        return ""
    matching = [name for name in (cache, *aliases) if _matches(name, _patterns(kind))]
    return matching[0] if len(matching) == 1 else ""


def kind_named(name: str) -> Kind | None:
    """The kind called `name`; None: there is none.  "order 2: …", of a large kmalloc, is the kind of that."""
    return _by_name().get(name.rpartition(": ")[2])


def first_kind(held: str) -> Kind | None:
    """The kind of most objects of a row (`summary`); None: some are not known."""
    names = held.split(", ")
    return None if OTHER in names else kind_named(names[0])


def is_no_part_of_a_file(held: str) -> bool:
    """Whether objects (`held`: as of `first_kind`) are known, and are no part of a dentry or inode.

    Kinds of which no command lists the holders are parts of others, perhaps of these.
    """
    kind = first_kind(held)
    return kind is not None and bool(kind.holders) and not kind.name.startswith(_OF_FILES)


def is_general(kind: Kind) -> bool:
    """Whether it says what an object is, but not whose: it was allocated for somebody who is not known."""
    return not PASSED_THROUGH.isdisjoint(kind.functions.split())


def many(name: str) -> str:
    """The plural of a kind's name: "UNIX sockets", "dentries", "inodes of a pipe"."""
    head, preposition, tail = _HEAD.fullmatch(name).groups()  # type: ignore[union-attr]  # always matches
    return f"{_plural(head)}{preposition}{tail}"


def summary(kinds: Iterable[str]) -> str:
    """The kinds of a row, those with most objects first, as one text; "" (not known) is OTHER, and last.

    "" if none is known: "UNIX socket", "UNIX socket, signal state of a process, other".
    """
    every = list(dict.fromkeys(kinds))
    known = [each for each in every if each]
    if not known:
        return ""
    rest = [OTHER] if len(known) > KINDS_SHOWN or "" in every else []
    return ", ".join([*known[:KINDS_SHOWN], *rest])


def shown(cache: str, aliases: Sequence[str], held: str, symbol: str = "", brief: bool = False) -> str:
    """A cache with what is in it, for people; the text is not escaped.

    `held`: what is in it (`summary`); `symbol`: by whom, if only one allocated; `brief`: what few words say.

        signal_cache (merged; UNIX sockets by sk_prot_alloc)     signal_cache (UNIX sockets)
        mnt_cache (also posix_timers_cache)                      kmalloc-64 (eventfds)
        filp (open files)                                        large kmalloc, order 2
    """
    if cache == LARGE:
        return f"large kmalloc, {held}" if held else cache
    if not held:
        return f"{cache} ({also(aliases, 1 if brief else ALIASES_SHOWN)})" if aliases else cache
    if _says(cache, held) or (brief and not aliases and not _matches(cache, KMALLOC)):
        return cache
    words = ", ".join(each if each == OTHER else many(each) for each in held.split(", "))
    if brief or not aliases:
        return f"{cache} ({words})"
    by = f" by {function(symbol)}" if symbol else ""
    return f"{cache} (merged; {words}{by})"


def in_table(row: Mapping[Any, Any]) -> str:
    """The cache of a row of leaks() or findings() as a cell: of a merged one the name that was asked for.

    Where that is not certain, what is in it.  Of kmalloc the cell beside it, the call site, says enough.
    """
    if row["alias"]:
        return str(row["alias"])
    if not row["aliases"] and row["cache"] != LARGE:
        return str(row["cache"])
    return shown(row["cache"], row["aliases"], row["object"], brief=True)


def also(aliases: Sequence[str], most: int = ALIASES_SHOWN) -> str:
    """The other names of a merged cache, at most so many: "also UNIX, UNIX-STREAM and 4 more"."""
    more = f" and {len(aliases) - most} more" if len(aliases) > most else ""
    return f"also {', '.join(aliases[:most])}{more}"


def _plural(noun: str) -> str:
    if noun.endswith(_UNCOUNTED):
        return noun
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("x", "sh", "ch")) else f"{noun}s"


def _says(cache: str, held: str) -> bool:
    """Whether the cache's name says already what is in it: "dentry", "buffer_head"."""
    return held.replace(" ", "_").casefold() == cache.casefold()


@lru_cache(maxsize=1 << 16)
def _function(symbol: str) -> str:
    return comparable_function(symbol)


@lru_cache(maxsize=1)
def _by_function() -> dict[str, tuple[Kind, ...]]:
    found: dict[str, tuple[Kind, ...]] = {}
    for kind in KINDS:
        for name in kind.functions.split():
            found[name] = (*found.get(name, ()), kind)
    return found


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Kind]:
    return {kind.name: kind for kind in KINDS}


def _allocated_by(function: str, names: Sequence[str]) -> Kind | None:
    """The kind that the function allocates from a cache with these names; None where it may be several."""
    kinds = [each for each in _by_function().get(function, ()) if _in_cache(each, names)]
    return kinds[0] if len(kinds) == 1 else None


def _within(functions: Iterable[str]) -> Kind | None:
    return next((_by_name()[WITHIN[each]] for each in functions if each in WITHIN), None)


def _by_cache(cache: str) -> Kind | None:
    """The general kind of objects of a cache that is not merged with others and not one of kmalloc's."""
    return next((kind for kind in KINDS if cache in kind.caches.split()), None)


def _patterns(kind: Kind) -> Sequence[str]:
    """The names of the kind's caches; a kmalloc of any size may be a large one."""
    patterns = kind.caches.split() or KMALLOC
    return [*patterns, LARGE] if KMALLOC[0] in patterns else patterns


def _in_cache(kind: Kind, names: Iterable[str]) -> bool:
    return any(_matches(name, _patterns(kind)) for name in names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, each) for each in patterns)
