# SPDX-License-Identifier: Apache-2.0
"""Filters over the rows of an analysis table.

A filter that matches nothing is an error with exit code 2.  So an empty answer always means that
nothing was found, and never that a name was mistyped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace


def chooser(trace: Trace, globs: Sequence[str]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """`by_cache` for tables of `trace`; costs no pass over its events."""
    known = trace.cache_names() if globs else {}
    return lambda frame: by_cache(frame, globs, known)


def by_cache(frame: pd.DataFrame, globs: Sequence[str], aliases: dict[str, list[str]]) -> pd.DataFrame:
    """The rows of `frame` whose column `cache` matches one of the shell patterns `globs`.

    `aliases`: every cache of the trace and the names merged into it; a pattern that matches an
    alias selects the cache it was merged into.  Raises UsageError for a pattern that no cache of
    the trace matches; a cache that is in the trace but not in `frame` gives an empty frame.
    """
    if not globs:
        return frame
    chosen = {name for glob in globs for name in _matching_caches(glob, aliases)}
    return frame[frame["cache"].isin(chosen)]


def by_call_site(frame: pd.DataFrame, pattern: str | None) -> pd.DataFrame:
    """The rows of `frame` whose column `symbol` contains a match of the regular expression `pattern`.

    Raises UsageError if the expression does not compile, or matches no row.
    """
    if pattern is None:
        return frame
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--call-site {pattern!r} is not a regular expression: {error}") from None
    return _some(
        frame[[bool(expression.search(symbol)) for symbol in frame["symbol"]]],
        f"no call site matches {pattern!r}",
        "leave out --call-site to see all",
    )


def check_tasks(trace: Trace, pids: Sequence[int], comms: Sequence[str], cgroups: Sequence[str]) -> None:
    """Raise UsageError for a pid, or a name or cgroup (shell pattern), that no task of the trace had."""
    if pids or comms:
        _check_names(trace.tasks(), pids, comms)
    if cgroups:
        _check_cgroups(trace, cgroups)


def _check_names(tasks: pd.DataFrame, pids: Sequence[int], comms: Sequence[str]) -> None:
    """As check_tasks; `tasks`: rows of Trace.tasks()."""
    remedy = "`slabtrace leaks TRACE` shows who allocated what"
    known = set(tasks["tgid"].tolist())
    for pid in pids:
        if pid not in known:
            raise UsageError(f"the trace has no process {pid}", remedy)
    names = set(tasks["comm"])
    for glob in comms:
        if not any(fnmatchcase(name, glob) for name in names):
            raise UsageError(f"the trace has no task named {glob!r}", remedy)


def _check_cgroups(trace: Trace, globs: Sequence[str]) -> None:
    from slabtrace.analysis.processes.processes import path_matches

    paths = trace.cgroup_paths()
    if not paths:
        major, minor = trace.manifest.version[:2]
        raise UsageError(
            f"the trace does not say which cgroups tasks were in (its format is {major}.{minor})",
            "record again: it does since format 2.2, where the kernel has cgroups",
        )
    for glob in globs:
        if not any(path_matches(path, [glob]) for path in paths):
            raise UsageError(
                f"no cgroup of the trace matches {glob!r}", "`slabtrace who TRACE --by cgroup` lists them"
            )


def _matching_caches(glob: str, aliases: dict[str, list[str]]) -> list[str]:
    found = [name for name, others in aliases.items() if any(fnmatchcase(n, glob) for n in (name, *others))]
    if found:
        return found
    close = get_close_matches(glob, [*aliases, *(n for names in aliases.values() for n in names)], 3, 0.5)
    raise UsageError(
        f"no slab cache of the trace matches {glob!r}",
        f"did you mean {' or '.join(close)}?" if close else "`slabtrace caches TRACE` lists them",
    )


def _some(frame: pd.DataFrame, message: str, remedy: str) -> pd.DataFrame:
    if frame.empty:
        raise UsageError(message, remedy)
    return frame
