# SPDX-License-Identifier: Apache-2.0
"""Checks of one run that perf, ftrace, trace-cmd and LTTng recorded beside slabtrace (tracers.py).

Each is imported, and compared with slabtrace's own recording object by object: every difference is of a path
that has no tracepoint, or of a loss that the tool reports.  What the module left is outstanding in each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

import slabtrace
from slabtrace.api import Trace
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording
from tests.imports.objects import NOT_FREED, SILENT, Objects, objects
from tests.imports.recorders import recorded
from tests.kernels.leak_checks import SILENT as SILENT_FAULTS
from tests.kernels.leak_checks import Findings, equal, total
from tests.kernels.workload import FAULTS

EDGE_NS = 1_000_000_000
APART_NS = 200_000_000  # an emulated CPU may stand still between two tracers of one event
DIRECT = ("leak_kmalloc", "leak_kzalloc", "leak_node", "leak_cache")  # whose call site is in the module
_HASHED = {"ftrace": "pointers are hashed on this kernel"}


class Imported:
    """The recording of one tool, imported beside slabtrace's own."""

    def __init__(self, name: str, path: Path, own: Trace) -> None:
        self.name, self._own = name, own
        self.place = path.parent / f"{name}.slab"
        if not self.place.exists():
            import_recording([Source(path)], self.place)
        self.trace = slabtrace.open(self.place)
        self._compared: Objects | None = None

    @property
    def hashed(self) -> bool:
        """Whether its pointers do not compare with those of others."""
        foreign = self.trace.manifest.foreign
        return foreign is not None and foreign.pointers == "hashed"

    @property
    def compared(self) -> Objects:
        """Its objects beside slabtrace's own."""
        if self._compared is None:
            own, other = self._own, self.trace
            shift = _epoch_shift(own, other) if self.name == "LTTng" else 0
            self._compared = objects(own, other, EDGE_NS, shift, APART_NS)
        return self._compared


def _epoch_shift(own: Trace, other: Trace) -> int:
    """What a clock since 1970 is ahead of one since boot, by the first address that both allocated once."""
    a, b = (
        pd.concat(batch.to_pandas() for batch in trace.events(["ts_ns", "ptr", "kind"])).query("kind < 16")
        for trace in (own, other)
    )
    a, b = (each.drop_duplicates("ptr", keep=False) for each in (a, b))
    both = a.merge(b, on="ptr")
    return int((both.ts_ns_y - both.ts_ns_x).median())


def faulty(own: Trace) -> dict[str, set[int]]:
    """The call sites of each fault of the module, by slabtrace's own symbols."""
    sites: dict[str, set[int]] = {}
    for row in own.stat("call_site").to_dict("records"):
        for fault in FAULTS:
            if re.match(rf"{fault.name}(\.\w+)*\+0x", row["symbol"]):
                sites.setdefault(fault.name, set()).add(int(row["call_site"]))
    return sites


def left(both: pd.DataFrame, sites: set[int]) -> int:
    """How many objects of these call sites are outstanding in the other recording too."""
    return int((both.call_site.isin(sites) & (both.end_other == NOT_FREED)).sum())


def check_differences(one: Imported) -> None:
    """Every object is in both, with the same end, or it is known why not."""
    found = one.compared
    open_ones = {what: count for (what, why), count in found.differences().items() if not why}
    if open_ones:
        raise AssertionError(f"not explained: {open_ones}; of {len(found.both)} objects")


def check_left(one: Imported, sites: dict[str, set[int]]) -> None:
    """What each fault left is outstanding in the other too; what it freed is not, but by silent paths.

    What waits for its grace period at the end of what is compared is outstanding in both.
    """
    both = one.compared.both
    for fault in FAULTS:
        mine = both[both.call_site.isin(sites.get(fault.name, set()))]
        silent = int(((mine.why == SILENT) & (mine.end_other == NOT_FREED)).sum())
        own_left = int((mine.end == NOT_FREED).sum())
        if fault.name not in SILENT_FAULTS:
            equal(f"{fault.name}, freed through paths without a tracepoint", silent, 0)
            equal(f"{fault.name}, by slabtrace", own_left, fault.kept)
        equal(fault.name, left(both, sites.get(fault.name, set())) - silent, own_left)


def check_named(one: Imported) -> None:
    """The import names the module's call sites by itself, and lists what they left."""
    groups = one.trace.outstanding("call_site").to_dict("records")
    for fault in FAULTS:
        if fault.name in DIRECT:
            mine = [each for each in groups if re.match(rf"{fault.name}\b", each["symbol"])]
            equal(fault.name, total(mine, "outstanding"), fault.kept)


def checks(place: Path) -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of the recordings in a folder, beside slabtrace's own in trace.slab."""
    own = slabtrace.open(place / "trace.slab")
    sites = faulty(own)
    for name, path in recorded(place).items():
        one = Imported(name, path, own)
        if one.trace.manifest.foreign is not None and not one.hashed:
            yield f"{name}: objects", lambda _, one=one: check_differences(one)
            yield f"{name}: what was left", lambda _, one=one: check_left(one, sites)
        if name not in ("LTTng", "perf"):  # addresses, without the names of what was loaded later
            yield f"{name}: names", lambda _, one=one: check_named(one)
