# SPDX-License-Identifier: Apache-2.0
"""Suppressing known findings: by part of a stack, by cache, or by module.

    [[suppress]]
    name = "the queue fills once"          # shown; default: what it matches
    stack = ["load_msg", "do_msgsnd"]      # these functions in this order, others in between allowed
    cache = "msg_msg-*"
    module = "nf_*"

All that is given must match; patterns are those of the shell.  Functions (without offset) and caches match by
their own name or by the one that other kernels have (names/frames.py).  A finding is matched by its owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from slabtrace.analysis.names.frames import comparable_cache, comparable_function, function, module_of
from slabtrace.errors import UsageError

KEYS = {"name", "stack", "cache", "module"}


@dataclass(frozen=True)
class Suppression:
    """One rule; empty parts match anything."""

    name: str
    stack: tuple[str, ...] = ()
    cache: str = ""
    module: str = ""

    def matches(self, group: Mapping[Any, Any]) -> bool:
        """Whether the rule is about this row of Trace.leaks() or Trace.findings()."""
        frames = list(group["stack"]) or [group["symbol"]]
        cache = group["cache"], comparable_cache(group["cache"])
        return (
            (not self.cache or _any_matches(cache, self.cache))
            and (not self.module or _any_matches(map(module_of, frames), self.module))
            and _in_order(self.stack, [(function(each), comparable_function(each)) for each in frames])
        )


@dataclass
class Used:
    """What a suppression matched: groups, or findings, and their outstanding objects and bytes."""

    name: str
    groups: int = 0
    objects: int = 0
    bytes: int = 0


@dataclass
class Suppressions:
    """An ordered list of rules; the first one that matches a group removes it."""

    rules: list[Suppression] = field(default_factory=list)

    def apply(self, groups: pd.DataFrame) -> tuple[pd.DataFrame, list[Used]]:
        """The rows of `groups` that no rule matches, and what each rule removed.

        `groups`: of Trace.leaks(), or of Trace.findings(), which have all their members' `objects`.
        """
        used = [Used(rule.name) for rule in self.rules]
        if not self.rules or groups.empty:
            return groups, used
        keep = [self._first(group, used) is None for group in groups.to_dict("records")]
        return groups[keep], used

    def _first(self, group: Mapping[Any, Any], used: list[Used]) -> Used | None:
        for rule, count in zip(self.rules, used, strict=True):
            if rule.matches(group):
                count.groups += 1
                count.objects += int(group.get("objects", group["outstanding"]))
                count.bytes += int(group["bytes_alloc"])
                return count
        return None


def parse(entries: Any, origin: str) -> Suppressions:
    """The rules of a TOML array `suppress`.  Raises UsageError, naming `origin`, for anything else."""
    if not isinstance(entries, list):
        raise UsageError(f"{origin}: suppress is not an array", "write [[suppress]] above each rule")
    return Suppressions([_rule(entry, f"{origin}: suppress {n}") for n, entry in enumerate(entries, 1)])


def _rule(entry: Any, origin: str) -> Suppression:
    if not isinstance(entry, dict) or set(entry) - KEYS or not set(entry) - {"name"}:
        raise UsageError(
            f"{origin} needs one of stack, cache, module", f"the keys are {', '.join(sorted(KEYS))}"
        )
    stack = entry.get("stack", [])
    texts = [entry.get(key, "") for key in ("name", "cache", "module")]
    if not isinstance(stack, list) or not all(isinstance(each, str) for each in [*stack, *texts]):
        raise UsageError(f"{origin}: stack must be an array of strings, the others strings")
    name, cache, module = texts
    described = " ".join(filter(None, [" … ".join(stack), cache and f"in {cache}", module and f"[{module}]"]))
    return Suppression(name or described, tuple(stack), cache, module)


def _in_order(patterns: Sequence[str], functions: Iterable[Iterable[str]]) -> bool:
    """Whether each pattern matches a function, by one of its names, in this order."""
    following = iter(functions)
    return all(any(_any_matches(names, pattern) for names in following) for pattern in patterns)


def _any_matches(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)
