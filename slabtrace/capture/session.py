# SPDX-License-Identifier: Apache-2.0
"""A kernel that is being traced: programs compiled, slab caches read, filters set, everything attached."""

from __future__ import annotations

import fnmatch
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from slabtrace.capture.budget import Budget, Settings
from slabtrace.capture.host import possible_cpus, possible_nodes
from slabtrace.capture.kernel import cgroup_shape, process_shape
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.cgroup_shape import CgroupShape
from slabtrace.capture.kernel.features import TASK_TRACEPOINTS, KernelShape, examine
from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.kernel.process_shape import ProcessShape
from slabtrace.capture.options import BUFFER_SHARE, DEFAULT_BUFFER_MIB, CaptureOptions
from slabtrace.capture.process.census import descendants
from slabtrace.capture.programs import silent_paths
from slabtrace.capture.programs.bpf_syscall import has_atomics
from slabtrace.capture.programs.cgroup_filter import CgroupFilter
from slabtrace.capture.programs.compiler import compile_bpf
from slabtrace.capture.programs.glob_automaton import cgroup_glob, comm_glob
from slabtrace.capture.programs.kfuncs import Kfuncs
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.programs.silent_paths import SilentPath
from slabtrace.capture.slabs import charge_shape, pin_shape, shape, walk
from slabtrace.capture.slabs.charge_shape import ChargeShape
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.pin_shape import PinShape
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk
from slabtrace.capture.stream.rings import SLOT_BYTES, RingGeometry, Rings
from slabtrace.capture.stream.survivors import Survivors
from slabtrace.errors import CaptureError, UsageError
from slabtrace.trace.manifest import Coverage, Unattached


class Session:
    """Compiles, loads and prepares; `start` attaches, `stop` detaches.

    Raises CaptureError where this kernel cannot be traced, UsageError where no cache matches.
    """

    def __init__(self, options: CaptureOptions) -> None:
        self.options = options
        with ThreadPoolExecutor(1) as pool:  # reading kallsyms takes as long as compiling
            symbols = pool.submit(Kallsyms)
            kernel = _examine()
            self.shape, self.processes, self.silent = kernel.shape, kernel.processes, kernel.silent
            self.slab_shape, self.pin_shape, self.charge_shape = kernel.slabs, kernel.pins, kernel.charges
            _check_mode(options, self.shape)
            if options.follow and not self.processes.programs:
                raise CaptureError(
                    "--follow cannot be used: this kernel does not say which processes begin",
                    "record without --follow, and look at one process at a time with --pid",
                )
            self.cgroups = _cgroup_filter(options, self.processes, kernel.cgroups)
            geometry = ring_geometry(options.buffer_mib, options.default_buffer_mib)
            defines = self.shape.defines() | self.processes.defines() | self.silent.defines()
            defines |= kernel.kfuncs.defines() | geometry.defines() | options.defines()
            defines |= self.cgroups.defines() if self.cgroups else {}
            compiled = compile_bpf(defines)
            self.programs = Programs(compiled, kernel.kfuncs)
            self.kallsyms = symbols.result()
        try:
            self.rings = Rings(self.programs, geometry)
            self.rings.set_sample(options.sample)
            self.survivors = Survivors(self.programs, options, geometry.cpus) if options.survivors else None
            self.budget = self._new_budget()
            self._learn_caches()
            self._set_filters()
        except BaseException:
            self.programs.close()
            raise

    def _new_budget(self) -> Budget | None:
        options = self.options
        settings = Settings(options.stacks != "none", options.sample)
        return (
            None
            if options.budget is None
            else Budget(self.programs, options.budget, settings, os.cpu_count() or 1)
        )

    def _learn_caches(self) -> None:
        self.walk = SlabWalk(self.programs, self.shape)
        first = walk.find_any_cache(self.programs, self.shape, self.kallsyms.address("slab_caches"))
        self._any_cache = first
        self.caches: dict[int, SlabCache] = {}
        self._read_caches()
        self.vmemmap = self.walk.learn_vmemmap(list(self.caches.values()))
        self.rings.set_vmemmap(self.vmemmap)

    def _read_caches(self) -> None:
        """Read every cache there is at the start, and the names of merged ones."""
        self.aliases = walk.aliases()
        self.caches.update({cache.address: cache for cache in self.walk.all_caches(self._any_cache)})

    def cache_at(self, address: int) -> SlabCache | None:
        """The cache at an address from an event.  A cache that is new is read from the kernel's memory."""
        if address not in self.caches:
            cache = self.walk.cache(address)
            if cache is None:
                return None
            self.caches[address] = cache
            self.judge(cache)
        return self.caches[address]

    def wanted(self, cache: SlabCache | None) -> bool:
        """Does --cache ask for this cache, by its name or an alias?  Large kmallocs have none."""
        if not self.options.cache:
            return True
        names = [cache.name, *self.aliases.get(cache.name, [])] if cache else []
        return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in self.options.cache)

    def judge(self, cache: SlabCache) -> None:
        """Give the programs the address of a cache, and whether it is wanted."""
        if self.options.cache or self.shape.page_end:
            table = self.programs.table("known_caches")
            table[table.Key(cache.address)] = table.Leaf(self.wanted(cache))

    def _set_filters(self) -> None:
        if self.options.comm is not None:
            self.programs.set_bytes("comm_glob", comm_glob(self.options.comm).table().tobytes())
        if self.cgroups is not None:
            self.cgroups.set_glob(self.programs)
        if self.options.cache:
            self._check_globs()
            table = self.programs.table("known_caches")
            table[table.Key(0)] = table.Leaf(0)  # large kmallocs, and objects whose cache is unknown
        for cache in self.caches.values():
            self.judge(cache)

    def _check_globs(self) -> None:
        for glob in self.options.cache:
            names = {n for c in self.caches.values() for n in [c.name, *self.aliases.get(c.name, [])]}
            if not fnmatch.filter(names, glob):
                raise UsageError(
                    f"no slab cache of this kernel is called {glob!r}",
                    "see /proc/slabinfo for the names; quote the glob from the shell",
                )

    def start(self) -> None:
        """Load every program, then attach them in quick succession, the tasks' first.

        Loading comes first because the verifier allocates and frees by the million.  Before the last program
        is attached, frees may be recorded without their allocations: the recorder leaves out
        all events that are older than this method's return.
        """
        names = [
            *TASK_TRACEPOINTS,
            *self.shape.tracepoints,
            *(["mm_page_free"] if self.shape.page_end else []),
        ]
        pairs = [*self.processes.programs.items(), *((name, name) for name in names)]
        pairs += [(f"{name}_twin", name) for name in self.shape.tracepoints if self.options.twin_of(name)]
        for program, _ in pairs:
            self.programs.load(program)
        with suppress(CaptureError):  # the slab check can do without it; it cannot be loaded later
            self.programs.load("percpu_place")
        self.unwatched = {path.name: reason for path, reason in self.silent.refused.items()}
        silent_paths = [
            path for path, type_id in self.silent.watchable.items() if self._load_silent(path, type_id)
        ]
        for program, tracepoint in pairs:
            self.programs.attach(program, tracepoint)
        if self.options.follow:
            self._follow()
        if self.cgroups is not None:
            self.cgroups.fill(self.programs)
        for path in silent_paths:
            self._attach_silent(path)

    def _follow(self) -> None:
        """Give the programs the process of --pid and its descendants.  They add those that begin from now on.

        What began while /proc was read is found the second time.
        """
        table = self.programs.table("followed")
        for _ in range(2):
            for tgid in descendants(self.options.pid or 0):
                table[table.Key(tgid)] = table.Leaf(1)

    def _load_silent(self, path: SilentPath, type_id: int) -> bool:
        """Load the program of a silent path.  If it is refused after all, the path is not traced."""
        try:
            self.programs.load_tracing(path.program, path.at_exit, type_id)
        except CaptureError as error:
            self.unwatched[path.name] = error.message
            return False
        return True

    def _attach_silent(self, path: SilentPath) -> None:
        try:
            self.programs.attach_tracing(path.program)
        except CaptureError as error:
            self.unwatched[path.name] = error.message

    def stop(self) -> None:
        """Detach, twins before the programs they complete; rings and maps stay readable."""
        self.programs.detach(reversed(self.programs.attached))

    def close(self) -> None:
        """Leave nothing behind in the kernel."""
        self.programs.close()

    def percpu(self) -> PerCpu:
        """The per-CPU offsets of the online CPUs."""
        pptrs = None if self.slab_shape is None else self.slab_shape.pptrs
        return PerCpu(self.programs, self.walk, pptrs, self.rings.geometry.cpus)

    def coverage(self) -> Coverage:
        """What is attached, and which silent paths of this kernel are not traced."""
        attached = self.programs.attached
        return Coverage(
            attached=[name for name in attached if not name.endswith("_twin")],
            twins=[name for name in attached if name.endswith("_twin")],
            unattached=[Unattached(path, reason) for path, reason in self.unwatched.items()],
            free_traced_after=self.shape.free_traced_after,
            frees_judged=self.shape.judges_frees,
            programs_preemptible=self.shape.preemptible,
            charges_unread=self.charge_shape if isinstance(self.charge_shape, str) else "",
        )


class _Kernel(NamedTuple):
    """What this kernel's BTF says, each read by the module of its type."""

    shape: KernelShape
    processes: ProcessShape
    silent: silent_paths.SilentCoverage
    slabs: SlabShape | None
    pins: PinShape | None
    charges: ChargeShape | str
    cgroups: CgroupShape | None
    kfuncs: Kfuncs


def _examine() -> _Kernel:
    types = Btf()
    try:
        return _Kernel(
            examine(types),
            process_shape.examine(types),
            silent_paths.examine(types),
            shape.examine(types, possible_nodes()),
            pin_shape.examine(types),
            charge_shape.examine(types),
            cgroup_shape.examine(types),
            Kfuncs(types),
        )
    finally:
        types.close()


def _cgroup_filter(
    options: CaptureOptions, processes: ProcessShape, shape: CgroupShape | None
) -> CgroupFilter | None:
    """What --cgroup asks for; None without it.  Raises CaptureError where the kernel has no cgroups."""
    if options.cgroup is None:
        return None
    return CgroupFilter(cgroup_glob(options.cgroup), shape if processes.has_cgroups else None)


def _check_mode(options: CaptureOptions, shape: KernelShape) -> None:
    """Raise CaptureError for survivors mode where the programs cannot pair events as they come."""
    if not options.survivors:
        return
    if shape.free_traced_after:
        reason = "this kernel traces kmem_cache_free after the free, when others may have the object"
    elif not has_atomics():
        reason = "BPF programs have no atomic instructions that return a value on this kernel"
    else:
        return
    raise CaptureError(
        f"--mode survivors cannot be used: {reason}", "use --mode events, or Linux 6.1 or later"
    )


def ring_geometry(buffer_mib: int | None, default_mib: int = DEFAULT_BUFFER_MIB) -> RingGeometry:
    """Rings whose lane 0 takes `buffer_mib` MiB per CPU, rounded down to a power of two.

    None: `default_mib`, or less where memory is small.  Raises UsageError for less than 1 MiB, or for more
    than half of the memory.
    """
    cpus = possible_cpus()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if buffer_mib is None:
        buffer_mib = max(1, min(default_mib, memory // BUFFER_SHARE // cpus >> 20))
    elif buffer_mib < 1 or buffer_mib * cpus << 20 > memory // 2:
        raise UsageError(
            f"--buffer {buffer_mib} is not possible: that many MiB for each of {cpus} CPUs",
            f"use 1 to {max(1, memory // 2 // cpus >> 20)} (at most half of the memory for all CPUs)",
        )
    slots = (buffer_mib << 20) // SLOT_BYTES
    return RingGeometry(cpus, 1 << (slots.bit_length() - 1))
