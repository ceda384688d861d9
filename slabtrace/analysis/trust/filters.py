# SPDX-License-Identifier: Apache-2.0
"""What a recording left out on request: by slab cache, by task, by size of object, by sampling addresses.

A filter by cache leaves out whole caches, so the kernel's own count of the others can still be compared.  All
other filters leave out some objects of a cache, while the kernel counts all of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.manifest import Manifest

# Options by which a recording leaves out events, and how they are typed.
TYPED = {
    "cache": "--cache", "min_size": "--min-size", "max_size": "--max-size", "pid": "--pid",
    "follow": "--follow", "comm": "--comm",
    "cgroup": "--cgroup",
}  # fmt: skip
PARTIAL_FILTERS = (
    "min_size",
    "max_size",
    "pid",
    "follow",
    "comm",
    "cgroup",
    "sample",
)  # leave out some objects of a cache
FILTERS = ("cache", *PARTIAL_FILTERS)
# These leave out frees of objects from before the recording, too.
BY_ALLOCATION = ("min_size", "max_size", "pid", "comm", "cgroup")


def filtered(manifest: Manifest, filters: tuple[str, ...] = FILTERS) -> bool:
    """Whether the recording left out events on request: the kernel's count then includes more objects."""
    return any(_is_set(manifest.options.get(name)) for name in filters)


def filter_options(manifest: Manifest, filters: Sequence[str] = FILTERS) -> list[str]:
    """The filters of the recording, without the sample, as they are typed: "--comm 'a b'", "--pid 12"."""
    found = []
    for name in (each for each in filters if each in TYPED):
        typed, value = TYPED[name], manifest.options.get(name)
        values = value if isinstance(value, list) else [value]
        found += [
            typed if each is True else f"{typed} {shlex.quote(str(each))}" for each in values if _is_set(each)
        ]
    return found


def recorded_caches(
    manifest: Manifest, names: Sequence[str], aliases: Sequence[Sequence[str]]
) -> NDArray[np.bool_]:
    """Whether each cache, or a name merged into it, matches --cache, so that its events were recorded."""
    globs = manifest.options.get("cache")
    if not isinstance(globs, list) or not globs:
        return np.ones(len(names), np.bool_)
    found = (
        any(fnmatchcase(each, str(glob)) for each in (name, *others) for glob in globs)
        for name, others in zip(names, aliases, strict=True)
    )
    return np.fromiter(found, np.bool_, len(names))


def _is_set(value: object) -> bool:
    return value not in (None, False, [], "", 0)
