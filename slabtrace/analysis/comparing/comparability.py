# SPDX-License-Identifier: Apache-2.0
"""Whether two recordings can be compared, and what a reader of the comparison has to know.

Different filters leave out different objects: refused.  A recording without stacks has no stacks to compare:
refused.  Different samples are estimates of the same objects, both modes record all that is outstanding, and
different lengths matter to some classes alone: a sentence each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from slabtrace.errors import UsageError
from slabtrace.trace.manifest import Manifest
from slabtrace.units import duration, size

UNLIKE = 1.25  # lengths that differ by more than this factor
FILTERS = ("cache", "min_size", "max_size", "pid", "comm", "cgroup")
EITHER = "the older recording", "the newer recording"


def unlike_lengths(old_ns: int, new_ns: int) -> bool:
    """Whether numbers that depend on the length of a recording cannot be compared."""
    return max(old_ns, new_ns) > UNLIKE * max(min(old_ns, new_ns), 0)


def refuse_unlike(old: Manifest, new: Manifest, by: str, caches: Collection[str]) -> None:
    """Raise UsageError where `old` and `new` recorded different objects, or have no stacks in common.

    `by`: how objects are grouped.  `caches`: the patterns of caches to which the comparison is restricted.
    """
    for name in FILTERS:
        values = [_value(each, name) for each in (old, new)]
        if values[0] != values[1] and not _both_have(name, values, caches):
            _refuse(name, values)
    stacks = [each.options.get("stacks") == "none" for each in (old, new)]
    if by == "stack" and stacks[0] != stacks[1]:
        raise UsageError(
            f"{EITHER[stacks.index(True)]} has no stacks (--stacks none), {EITHER[stacks.index(False)]} has",
            "compare call sites: --by call-site",
        )


def notes(old: Manifest, new: Manifest, old_ns: int, new_ns: int) -> list[str]:
    """Sentences on how the two recordings, of these lengths, differ; empty where they do not."""
    return list(_notes(old, new, old_ns, new_ns))


def _notes(old: Manifest, new: Manifest, old_ns: int, new_ns: int) -> Iterator[str]:
    if unlike_lengths(old_ns, new_ns):
        yield (
            f"the recordings lasted {duration(old_ns)} and {duration(new_ns)}: what grows is compared by its "
            "rate, what came once by its number; young, replacing and reclaimable objects are not compared, "
            "because their number depends on the length"
        )
    if old.sampled_one_in != new.sampled_one_in:
        samples = " and ".join(_sample(each.sampled_one_in) for each in (old, new))
        yield f"{samples} were recorded: numbers are estimates of all objects, compared with their errors"
    if old.survivors != new.survivors:
        mode = EITHER[new.survivors]
        yield f"{mode} was recorded with --mode survivors: what is outstanding is recorded in both modes"
    if bool(old.options.get("settle")) != bool(new.options.get("settle")):
        which = EITHER[bool(new.options.get("settle"))]
        yield f"only {which} was recorded with --settle, which drops reclaimable objects before the end"
    if _value(old, "pid") != _value(new, "pid"):
        yield f"different processes were recorded: {_value(old, 'pid')} and {_value(new, 'pid')}"


def _value(manifest: Manifest, name: str) -> Any:
    """What a filter was set to; None where it was not set."""
    value = manifest.options.get(name)
    if isinstance(value, list | tuple):
        return sorted(set(map(str, value))) or None
    return value or None


def _both_have(name: str, values: list[Any], caches: Collection[str]) -> bool:
    """Whether a filter that differs leaves the comparison as it is.

    The caches that are compared may be in both recordings; a process has another number each time it runs.
    """
    if name == "cache":
        return bool(caches) and all(value is None or set(caches) <= set(value) for value in values)
    return name == "pid" and None not in values


def _refuse(name: str, values: list[Any]) -> None:
    option = f"--{name.replace('_', '-')}"
    described = [
        f"with {option} {_text(name, value)}" if value is not None else f"without {option}"
        for value in values
    ]
    common = (
        set.intersection(*(set(value) for value in values if value is not None)) if name == "cache" else ()
    )
    remedy = "record both with the same filters"
    if common:
        remedy += f"; or compare what both have: {' '.join(f'--cache {each!r}' for each in sorted(common))}"
    raise UsageError(
        f"the recordings cannot be compared: {EITHER[0]} was made {described[0]}, {EITHER[1]} {described[1]}",
        remedy,
    )


def _text(name: str, value: Any) -> str:
    if name == "cache":
        return ", ".join(value)
    return size(value) if name.endswith("size") and isinstance(value, int | float) else str(value)


def _sample(one_in: int) -> str:
    return "all objects" if one_in == 1 else f"one object in {one_in:,}"
