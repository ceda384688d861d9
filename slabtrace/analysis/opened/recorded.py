# SPDX-License-Identifier: Apache-2.0
"""What lies in a trace beside the events: every side table in memory, read when first asked for.

Nothing here needs a pass over the events (passes.py makes those).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property

import pyarrow as pa

from slabtrace.analysis.carried.earlier import Earlier
from slabtrace.analysis.counting.counted_objects import CountedObjects
from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.grouping.charged import ChargedTo
from slabtrace.analysis.grouping.whose import CHARGED, Distinguished, Whose
from slabtrace.analysis.holders.inspected import Inspected
from slabtrace.analysis.mismatches.object_layout import ObjectLayout, recorded_shapes
from slabtrace.analysis.names.cache_names import Caches, name_caches
from slabtrace.analysis.names.modules import Modules, load_modules
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.slabinfo import Samples, samples_by_cache, with_copies_summed
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.charges import Charges
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.pins import Pins
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.processes.processes import Processes
from slabtrace.analysis.trust.filters import filtered
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.reading.window import WindowReader


class Recorded:
    """The side tables of the trace at `path`, or of its stretch `window_ns` (begin, end; ns since the start).

    `progress`, if set, is called while events are read, with the number read so far in this pass.
    `sum_copies`: the copies of each kmalloc cache count as one cache (Caches.summed).  Not if --cache chose
    caches: of some copies then nothing was recorded, but the kernel counted them.
    Raises TraceError when `path` is no readable trace, UsageError where nothing lies in the window.
    """

    def __init__(
        self, path: str | os.PathLike[str], window_ns: tuple[int, int] | None = None, sum_copies: bool = False
    ) -> None:
        self._sum_copies = sum_copies
        self.reader = TraceReader(path) if window_ns is None else WindowReader(path, *window_ns)
        self.progress: Callable[[int], None] | None = None

    @property
    def manifest(self) -> Manifest:
        """What was recorded, where, when and how."""
        return self.reader.manifest

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """Start and end of the recording, CLOCK_MONOTONIC ns."""
        return self.reader.span()

    @property
    def judged_ns(self) -> tuple[int, int]:
        """The time that is judged: of the recording, or from the begin of the series to the end of this part.

        If an earlier part could not be carried, it begins with the one that followed.
        """
        return min(self.reader.since_ns, self.span_ns[0]), self.span_ns[1]

    @property
    def judged_alone(self) -> bool:
        """Whether just this recording is judged, and not the parts before it."""
        return self.judged_ns[0] == self.span_ns[0]

    @cached_property
    def earlier(self) -> Earlier | None:
        """What earlier parts of the series counted; None if they are not judged."""
        return None if self.judged_alone else Earlier(self.reader, len(self.sites))

    def events(self) -> Iterator[EventBatch]:
        """All events in time order, reporting to `progress` how many were read."""
        read = 0
        for batch in self.reader.events():
            read += batch.size
            if self.progress is not None:
                self.progress(read)
            yield batch
        if self.progress is not None:
            self.progress(max(read, self.manifest.totals.events))  # a pass has ended, whatever is missing

    def pairer(self, sites: Sites | None = None) -> Pairer:
        """A new Pairer for this trace; `sites`: its sites, where they are split by process."""
        pairer = Pairer.for_trace(self.manifest, self.sites if sites is None else sites, self.slabs)
        if sites is None and self.earlier is not None:
            pairer.expect(self.earlier.uncompleted)
        return pairer

    @cached_property
    def sites(self) -> Sites:
        """sites.arrow: what is true of every event of one site."""
        sites = Sites.from_table(self.reader.sites)
        sites.unify_stacks(*self.stacks.repeated())
        return sites

    @cached_property
    def caches(self) -> Caches:
        """caches.arrow: the slab caches by name, and the cache of every site."""
        caches = name_caches(self.reader.table("caches"), self.sites, list(self.slabinfo))
        return caches.summed()[0] if self.sums_copies else caches

    @cached_property
    def slabinfo(self) -> dict[str, Samples]:
        """slabinfo.arrow: the kernel's own count of each cache over time."""
        samples = samples_by_cache(self.reader.table("slabinfo"))
        return with_copies_summed(samples) if self.sums_copies else samples

    @property
    def sums_copies(self) -> bool:
        """Whether the copies of each kmalloc cache count as one cache."""
        return self._sum_copies and not filtered(self.manifest, ("cache",))

    @cached_property
    def counted(self) -> CountedObjects:
        """counted.arrow: objects of the mode "survivors" that were only counted."""
        table, steps = self.reader.table("counted"), self.manifest.steps
        return CountedObjects.from_table(table, len(self.sites), steps)

    @cached_property
    def layout(self) -> ObjectLayout:
        """Where objects can begin in the slabs of each cache."""
        host = self.manifest.host
        shapes = recorded_shapes(self.reader.table("caches"), host)
        return ObjectLayout(shapes, self.sites, host.page_size)

    @cached_property
    def ledger(self) -> pa.Table:
        """losses.arrow: which events were lost, of what kind and when."""
        return self.reader.table("losses")

    @cached_property
    def slabs(self) -> SlabStates:
        """slabs.arrow: which objects were free in their slabs at the end of the recording."""
        return SlabStates(self.reader.table("slabs"))

    @cached_property
    def pins(self) -> Pins:
        """pins.arrow: which dentries and inodes were pinned at the end of the recording."""
        return Pins(self.reader.table("pins"))

    @cached_property
    def inspected(self) -> Inspected:
        """objects.arrow: what some objects were at the end of the recording, and who held them."""
        return Inspected(self.reader.table("objects"), self.manifest.inspection)

    @cached_property
    def charges(self) -> Charges:
        """charged.arrow: to which memory cgroups objects were charged at the end of the recording."""
        return Charges(self.reader.table("charged"), self.processes.cgroups)

    def whose(self, by: str, live: EventBatch) -> Distinguished:
        """By what objects are distinguished, one of whose.KINDS; `live`: the outstanding ones."""
        if by == CHARGED:
            return ChargedTo(self.charges, live, by)
        return Whose(self.tasks, self.processes, by)

    @cached_property
    def marks(self) -> pa.Table:
        """marks.arrow: the marks that were set while recording."""
        return self.reader.table("marks")

    @cached_property
    def tasks(self) -> Tasks:
        """tasks.arrow: the process and the name of each task over time."""
        return Tasks(self.reader.table("tasks"))

    @cached_property
    def processes(self) -> Processes:
        """processes.arrow and cgroups.arrow: who a process was over time."""
        return Processes(self.reader.table("processes"), self.reader.table("cgroups"))

    @cached_property
    def lookup(self) -> Lookup:
        """Names of addresses, stacks and tasks."""
        recorder = self.manifest.recorder
        started_ns = self.span_ns[0]
        names = self.symbols, self.stacks, self.tasks
        return Lookup(
            *names,
            started_ns,
            recorder.pid,
            recorder.helpers,
            self.manifest.host.page_size,
            self.processes,
            self.charges,
        )

    @cached_property
    def symbols(self) -> Symbols:
        """symbols.arrow: names of kernel addresses."""
        return Symbols(self.reader.table("symbols"))

    @cached_property
    def modules(self) -> Modules:
        """modules.arrow: the kernel and its modules."""
        return load_modules(self.reader.table("modules"), self.manifest)

    @cached_property
    def stacks(self) -> Stacks:
        """stacks.arrow: the frames of each stack."""
        return Stacks(self.reader.table("stacks"), self.symbols)
