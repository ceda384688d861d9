# SPDX-License-Identifier: Apache-2.0
"""Attach programs of parts.c in this process, and keep their rings empty."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import tracer_cpu
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import examine
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.programs.compiler import compile_bpf
from slabtrace.capture.programs.kfuncs import Kfuncs
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.sizing import ring_geometry
from slabtrace.capture.slabs import walk
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.repeated import Places
from slabtrace.capture.stream.rings import Rings

TRACEPOINTS = ("kfree", "kmem_cache_free", "kmalloc", "kmem_cache_alloc")
_SOURCE = str(Path(__file__).resolve().parent / "parts.c")
_DRAIN_S = 0.005


class _Nobody:
    """Takes what is drained, and does not look at it."""

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        pass

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        pass


class Probes:
    """One compiled parts.c with rings of the default size, ready to find the slab cache of an object.

    Raises CaptureError if slabtrace cannot trace here.
    """

    def __init__(self, options: CaptureOptions) -> None:
        types = Btf()
        shape, kfuncs = examine(types), Kfuncs(types)
        types.close()
        geometry = ring_geometry(None)
        defines = shape.defines() | kfuncs.defines() | geometry.defines() | options.defines()
        self.options = options
        self.programs = Programs(compile_bpf(defines, _SOURCE), kfuncs)
        self.rings = Rings(self.programs, geometry)
        self.rings.set_sample(options.sample)
        slabs = SlabWalk(self.programs, shape)
        first = walk.find_any_cache(self.programs, shape, 0)
        self.rings.set_vmemmap(slabs.learn_vmemmap(slabs.all_caches(first)))

    def part(self, *parts: str) -> AbstractContextManager[None]:
        """Attach the named parts of parts.c, one after another, to each tracepoint."""
        return self._attached(
            [(f"{part}_{tracepoint}", tracepoint) for part in parts for tracepoint in TRACEPOINTS]
        )

    def whole(self) -> AbstractContextManager[None]:
        """Attach the programs of slab.c, and the twins that the options select."""
        twins = [name for name in TRACEPOINTS if self.options.twin_of(name)]
        return self._attached(
            [(name, name) for name in TRACEPOINTS] + [(f"{name}_twin", name) for name in twins]
        )

    @contextmanager
    def _attached(self, pairs: list[tuple[str, str]]) -> Iterator[None]:
        for program, tracepoint in pairs:
            self.programs.attach(program, tracepoint)
        done = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(self._keep_empty, done)
            try:
                yield
            finally:
                done.set()
                self.programs.detach()
        reader.result()  # raises the thread's error: with full rings the programs would look cheaper

    def _keep_empty(self, done: threading.Event) -> None:
        """Free all slots every _DRAIN_S seconds, without reading them."""
        os.sched_setaffinity(threading.get_native_id(), {tracer_cpu()})
        while not done.wait(_DRAIN_S):
            self.rings.drain(1 << 62, _Nobody())

    def dropped(self) -> int:
        """Events for which no slot was free.  The figures are valid only if this is 0."""
        return int(self.rings.counters()["dropped"].sum())

    def close(self) -> None:
        """Remove the programs and maps from the kernel."""
        self.programs.close()
