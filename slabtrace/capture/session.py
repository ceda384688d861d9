# SPDX-License-Identifier: Apache-2.0
"""A kernel that is being traced: programs compiled, slab caches read, filters set, everything attached."""

from __future__ import annotations

import fnmatch
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from slabtrace.capture import other_memory
from slabtrace.capture.budget import Budget, Settings
from slabtrace.capture.host import possible_cpus, possible_nodes
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.memory import KernelMemory
from slabtrace.capture.kernel import cgroup_shape, process_shape, task_shape
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.cgroup_shape import CgroupShape
from slabtrace.capture.kernel.features import PAGE_FREE, TASK_TRACEPOINTS, KernelShape, examine
from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.kernel.process_shape import ProcessShape
from slabtrace.capture.kernel.task_shape import TaskShape
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.other_memory import OtherMemory
from slabtrace.capture.process.census import descendants
from slabtrace.capture.programs import silent_paths
from slabtrace.capture.programs.bpf_syscall import has_atomics
from slabtrace.capture.programs.cgroup_filter import CgroupFilter
from slabtrace.capture.programs.compiler import compile_bpf
from slabtrace.capture.programs.glob_automaton import cgroup_glob, comm_glob
from slabtrace.capture.programs.kfuncs import Kfuncs
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.programs.silent_paths import CACHE_END, SilentPath
from slabtrace.capture.sizing import ring_geometry
from slabtrace.capture.slabs import charge_shape, pin_shape, shape, walk
from slabtrace.capture.slabs.charge_shape import ChargeShape
from slabtrace.capture.slabs.known_caches import KnownCaches
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.pin_shape import PinShape
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.walk import SlabWalk, kernel_half
from slabtrace.capture.stream.naming.pids import Pids, in_initial_namespace
from slabtrace.capture.stream.naming.task_walk import TaskWalk
from slabtrace.capture.stream.rings import REPEATS, Rings
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
            kernel = _examine(options)
            self.shape, self.processes, self.silent = kernel.shape, kernel.processes, kernel.silent
            self.other_memory = kernel.other_memory
            self.slab_shape, self.pin_shape, self.charge_shape = kernel.slabs, kernel.pins, kernel.charges
            self._task_shape, self._initial_pids = kernel.tasks, in_initial_namespace()
            _check_mode(options, self.shape)
            if options.follow and not self.processes.programs:
                raise CaptureError(
                    "--follow cannot be used: this kernel does not say which processes begin",
                    "record without --follow, and look at one process at a time with --pid",
                )
            self.cgroups = _cgroup_filter(options, self.processes, kernel.cgroups)
            geometry = ring_geometry(
                options.buffer_mib,
                options.default_buffer_mib,
                self.shape.largest_map,
                0 if options.survivors else REPEATS,
            )
            defines = self.shape.defines() | self.processes.defines() | self.silent.defines()
            defines |= kernel.kfuncs.defines() | geometry.defines() | options.defines()
            defines |= self.cgroups.defines() if self.cgroups else {}
            if options.pid is not None and not self._initial_pids:
                defines |= {"FILTER_TGID": None, "FOLLOWED": None}
            defines |= kernel.other_memory.defines()
            compiled = compile_bpf(defines)
            self.programs = Programs(compiled, kernel.kfuncs)
            self.kallsyms = symbols.result()
        self.machine: Machine | None = None
        try:
            self.rings = Rings(self.programs, geometry)
            self.rings.set_sample(options.sample)
            self.survivors = Survivors(self.programs, options, geometry.cpus) if options.survivors else None
            self.budget = self._new_budget()
            self._learn_caches()
            self._set_filters()
            self.machine, self.machine_problem = self._machine()
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
        self.caches = KnownCaches(self.walk, first, self.options.cache, self._judge)
        self.pids = self._find_pids()
        self.vmemmap = self._find_vmemmap()
        self.kernel_memory = KernelMemory(self.programs, self.walk, kernel_half(first))
        self.rings.set_vmemmap(self.vmemmap)
        if self.options.pages and not self.vmemmap:
            raise CaptureError(
                "--pages cannot be used: the array of struct page was not found", "record without --pages"
            )

    def _find_vmemmap(self) -> int:
        """What leads from an address to its struct page (walk.py); 0: not known, and so are caches."""
        return self.walk.find_vmemmap(self.caches.all(), *map(self.kallsyms.address, walk.VMEMMAP_SYMBOLS))

    def _machine(self) -> tuple[Machine | None, str]:
        """What reads the kernel's memory at the end, if it is to be inspected; else the reason why not."""
        if not self.options.inspect_s:
            return None, ""
        try:
            caches = self.caches.by_address(), self.caches.aliases
            return Machine(self.programs, self.walk, self.kallsyms, *caches, self.vmemmap), ""
        except Exception as error:  # a kernel that nobody knows must not end a recording for that
            return None, str(error).partition("\n")[0] or type(error).__name__

    def _find_pids(self) -> Pids:
        """In a PID namespace, the tasks are read from the kernel's memory.  Call it in the main thread."""
        if self._initial_pids or self._task_shape is None:
            return Pids(None, self._initial_pids)
        caught = self.programs.mapped("caught", "<u8", 1)
        self.programs.run_once("catch_task", [0])
        pids = Pids(TaskWalk(self.walk, self._task_shape, int(caught[0])), initial=False)
        if (pid := self.options.pid) is not None and pids.of_events(pid) is None:
            raise UsageError(
                f"no process {pid} can be found in this PID namespace",
                "use a number that ps shows here, or --comm or --cgroup",
            )
        return pids

    def _judge(self, address: int, wanted: bool) -> None:
        """Give the programs the address of a cache, and whether it is wanted."""
        if self.options.cache or self.shape.page_end:
            table = self.programs.table("known_caches")
            table[table.Key(address)] = table.Leaf(wanted)

    def _set_filters(self) -> None:
        if self.options.comm is not None:
            self.programs.set_bytes("comm_glob", comm_glob(self.options.comm).table().tobytes())
        if self.cgroups is not None:
            self.cgroups.set_glob(self.programs)
        if self.options.cache:
            self._check_globs()
            table = self.programs.table("known_caches")
            table[table.Key(0)] = table.Leaf(0)  # large kmallocs, and objects whose cache is unknown
        self.caches.judge_all()
        self.other_memory.fill(self.programs)

    def _check_globs(self) -> None:
        for glob in self.options.cache:
            names = {name for cache in self.caches.all() for name in self.caches.names(cache)}
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
        traced = {name: name for name in self.shape.tracepoints} | self.other_memory.programs
        named = [*TASK_TRACEPOINTS, *([PAGE_FREE] if self.shape.page_end else [])]
        pairs = [*self.processes.programs.items(), *((name, name) for name in named), *traced.items()]
        pairs += [
            (f"{name}_twin", tracepoint)
            for name, tracepoint in traced.items()
            if self.options.twin_of(tracepoint)
        ]
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
        if self.options.pid is not None and (self.options.follow or not self._initial_pids):
            self._follow(self.options.pid)
        if self.cgroups is not None:
            self.cgroups.fill(self.programs)
        for path in silent_paths:
            self._attach_silent(path)

    def _follow(self, pid: int) -> None:
        """Give the programs the process of --pid, and with --follow its descendants.

        They add those that begin from now on.  What began while /proc was read is found the second time.
        """
        table = self.programs.table("followed")
        for _ in range(2):
            for each in descendants(pid) if self.options.follow else {pid}:
                if (tgid := self.pids.of_events(each)) is not None:
                    table[table.Key(tgid)] = table.Leaf(1)

    def _load_silent(self, path: SilentPath, type_id: int) -> bool:
        """Load the program of a silent path.  If it is refused after all, the path is not traced."""
        try:
            self.programs.load_tracing(path.program, path.at_exit, type_id)
        except CaptureError as error:
            self._not_watched(path, error)
            return False
        return True

    def _attach_silent(self, path: SilentPath) -> None:
        try:
            self.programs.attach_tracing(path.program)
        except CaptureError as error:
            self._not_watched(path, error)

    def _not_watched(self, path: SilentPath, error: CaptureError) -> None:
        if path.hides:
            self.unwatched[path.name] = error.message

    @property
    def sees_caches_end(self) -> bool:
        """Is the end of each slab cache reported (bpf/cache_end.h)?"""
        return CACHE_END.program in self.programs.attached

    def stop(self) -> None:
        """Detach, twins before the programs they complete; rings and maps stay readable."""
        self.programs.detach(reversed(self.programs.attached))

    def close(self) -> None:
        """Leave nothing behind in the kernel."""
        if self.machine is not None:
            self.machine.close()
        self.programs.close()

    def memory(self) -> dict[str, int]:
        """What the recording takes in the kernel (bytes): the rings, and all maps together."""
        return {"buffer_bytes": self.rings.geometry.bytes, "map_bytes": self.programs.map_bytes()}

    def left_out(self) -> dict[str, int]:
        """Pages that --pages saw allocated and left out so far, by what they are for."""
        return self.other_memory.left_out(self.programs, self.rings.geometry.cpus)

    def percpu(self) -> PerCpu:
        """The per-CPU offsets of the online CPUs."""
        pptrs = None if self.slab_shape is None else self.slab_shape.pptrs
        return PerCpu(self.programs, self.walk, pptrs, possible_cpus())

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
            unrecorded=self.other_memory.unrecorded,
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
    tasks: TaskShape | None
    kfuncs: Kfuncs
    other_memory: OtherMemory


def _examine(options: CaptureOptions) -> _Kernel:
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
            task_shape.examine(types),
            Kfuncs(types),
            other_memory.examine(types, options, possible_cpus()),
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
