# SPDX-License-Identifier: Apache-2.0
"""The places that freed the objects of a group: call sites, with the frames above them where they are known.

Free events may have stacks as allocations have.  Those of one call site are one path if they have the same
innermost functions.  If all stacks of a call site are one path, its other objects (sampled stacks) are taken
to have it, too.  If there are several paths, each is an entry where all stacks are known.  Else they are one
entry: its path is what they have in common, and `paths` says how many are known of each.

Example: a queue of messages.  4,800 were freed by free_msg, of which 900 have a stack, all the same.

    {"symbol": "free_msg+0x2f", "path": ["free_msg", "do_msgrcv"], "context": "task",
     "objects": 4800, "stack_of": 900, "paths": [], …}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.freeing.releases import MISSED, Pairs
from slabtrace.analysis.names.context import agreed, context_of, inside
from slabtrace.analysis.names.frames import comparable, function
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.pairing.paired import Positions

FRAMES = 3  # functions of a path: who called the allocator, for whom, on whose behalf
MOST_PATHS = 8  # of a group
LEAST_UNSEEN = 8  # frees: fewer may be lost events
SEEN, INFERRED, COUNTED, UNLISTED = "seen", "inferred", "counted", "unlisted"


class Path(NamedTuple):
    """Where objects were freed: `functions`, innermost first, and the `context` that they ran in."""

    functions: tuple[str, ...]
    context: str


class Place(NamedTuple):
    """An entry: the `pairs` that it is of (rows of Pairs), its `path`, a `stack` with that path (-1: none).

    `call_site`: who called the allocator.  `objects`: how many; `stack_of`: those known to have the path.
    `parts`: the paths of which it is known that they are among them, where there are several.
    """

    pairs: Positions
    call_site: int
    path: Path
    stack: int
    objects: int
    stack_of: int
    parts: tuple[Place, ...] = ()


class FreePaths:
    """Finds the places of any set of `pairs`."""

    def __init__(self, pairs: Pairs, sites: Sites, symbols: Symbols, stacks: Stacks) -> None:
        self._pairs, self._symbols, self._stacks = pairs, symbols, stacks
        self._call_site = sites["call_site"][pairs.freed_at]
        self._stack_id = sites["stack_id"][pairs.freed_at]
        self._known: dict[int, Path] = {}

    def places(self, rows: Positions) -> list[Place]:
        """The places that the pairs at `rows` are of, most objects first; of missed frees there is none."""
        found: list[Place] = []
        rows = rows[self._pairs.freed_at[rows] != MISSED]
        call_site = self._call_site[rows]
        for each in np.unique(call_site).tolist():
            found.extend(self._of_call_site(rows[call_site == each], each))
        return sorted(found, key=_order)

    def entry(self, place: Place, freed: int, missed: int, started_ns: int) -> dict[str, Any]:
        """A place as it is shown: see columns.leaks (freed_by).

        `freed`: of how many objects in all; `missed`: of how many of them the free was missed.  If the
        address of such an object was then allocated unseen, the place freed that one instead.
        """
        last_ns = int(self._pairs.last_ns[place.pairs].max())
        return {
            "how": SEEN,
            "call_site": place.call_site,
            "symbol": self._symbols.name(place.call_site),
            "module": self._symbols.module(place.call_site),
            "path": list(place.path.functions),
            "context": place.path.context,
            "stack": self._stacks.names(place.stack),
            "stack_of": place.stack_of,
            "paths": [self._part(each, started_ns) for each in place.parts[:MOST_PATHS]],
            "objects": place.objects,
            "share": place.objects / max(freed, place.objects, 1),
            "certain": place.objects > missed,
            "last_ns": None if last_ns < 0 else last_ns - started_ns,
            "stopped": False,
        }

    def _part(self, place: Place, started_ns: int) -> dict[str, Any]:
        return {
            "path": list(place.path.functions),
            "context": place.path.context,
            "objects": place.objects,
            "last_ns": int(self._pairs.last_ns[place.pairs].max()) - started_ns,
            "stopped": False,
        }

    def _of_call_site(self, rows: Positions, call_site: int) -> list[Place]:
        """The places of one call site: one for each path, or one for all."""
        stack_id = self._stack_id[rows].tolist()
        known = [at for at, each in enumerate(stack_id) if each >= 0 and self._path(each).functions]
        by_path: dict[Path, list[int]] = {}
        for at in known:
            by_path.setdefault(self._path(stack_id[at]), []).append(at)
        parts = [self._place(rows[of], stack_id[of[0]], path, call_site) for path, of in by_path.items()]
        if len(known) == len(stack_id):
            return parts
        if not by_path:
            symbol = self._symbols.name(call_site)
            alone = Path((function(symbol),), str(context_of([symbol])))
            return [self._place(rows, -1, alone, call_site)._replace(stack_of=0)]
        parts.sort(key=_order)
        whole = self._place(rows, parts[0].stack, _common([each.path for each in parts]), call_site)
        several = tuple(parts) if len(parts) > 1 else ()
        return [whole._replace(stack_of=sum(each.objects for each in parts), parts=several)]

    def _place(self, rows: Positions, stack: int, path: Path, call_site: int) -> Place:
        objects = self._objects(rows)
        return Place(rows, call_site, path, stack, objects, objects)

    def _objects(self, rows: Positions) -> int:
        return int(self._pairs.objects[rows].sum())

    def _path(self, stack_id: int) -> Path:
        if stack_id not in self._known:
            frames = self._stacks.names(stack_id)
            first = comparable(inside(frames)[: 2 * FRAMES])  # it leaves out some
            self._known[stack_id] = Path(first[:FRAMES], str(context_of(frames)))
        return self._known[stack_id]


def _order(place: Place) -> tuple[int, int, Path]:
    return -place.objects, place.call_site, place.path


def _common(paths: Sequence[Path]) -> Path:
    """What several paths begin with; they are of one call site, so their first function is the same."""
    levels = zip(*(each.functions for each in paths), strict=False)
    same = takewhile(lambda level: len(set(level)) == 1, levels)
    return Path(tuple(level[0] for level in same), agreed(each.context for each in paths))


def nowhere(how: str, objects: int, freed: int) -> dict[str, Any]:
    """The entry of `objects` of which it is not known where they were freed; `how`: but SEEN."""
    return {
        "how": how, "call_site": 0, "symbol": "", "module": "", "path": [], "context": "", "stack": [],
        "stack_of": 0, "paths": [], "objects": objects, "share": objects / max(freed, objects, 1),
        "certain": False, "last_ns": None, "stopped": False,
    }  # fmt: skip


def freed_unseen(entries: Sequence[Mapping[str, Any]], freed: int, least: int = LEAST_UNSEEN) -> bool:
    """Whether most of the `freed` objects of a group were so without being seen, and at least so many.

    `entries`: its freed_by.
    """
    unseen = sum(int(each["objects"]) for each in entries if each["how"] == INFERRED)
    return unseen >= least and 2 * unseen > freed


def by_key(keys: NDArray[Any], wanted: Sequence[int]) -> dict[int, Positions]:
    """The positions of each of the `wanted` values in `keys`, shape (n,)."""
    order = np.argsort(keys, kind="stable")
    begin, end = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
    bounds = zip(wanted, begin.tolist(), end.tolist(), strict=True)
    return {each: order[first:last] for each, first, last in bounds}
