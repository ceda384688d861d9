# SPDX-License-Identifier: Apache-2.0
"""A kernel whose memory can be read: programs loaded, caches known, where everything is."""

from __future__ import annotations

from collections.abc import Callable

from slabtrace.capture.host import possible_cpus, possible_nodes
from slabtrace.capture.inspecting.in_use import InUse, reader_of
from slabtrace.capture.inspecting.memory import KernelMemory
from slabtrace.capture.inspecting.pages import others
from slabtrace.capture.inspecting.physical import (
    IOMEM,
    Pages,
    PageScan,
    PhysicalMemory,
    direct_map,
    large_shape,
    parse_iomem,
)
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.btf_fields import Fields
from slabtrace.capture.kernel.features import examine
from slabtrace.capture.kernel.kallsyms import Kallsyms, bytes_between
from slabtrace.capture.programs.compiler import compile_bpf
from slabtrace.capture.programs.kfuncs import Kfuncs
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.slabs import charge_shape, pin_shape, shape, walk
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk, kernel_half
from slabtrace.errors import CaptureError

_ALIGNED = 2 << 20
_UNKNOWN_SLABS = CaptureError(
    "it is not known how this kernel lists its free objects", "please report it with the output of `uname -r`"
)


class Machine:
    """What is needed to read the memory of a kernel.  Raises CaptureError where that is not possible.

    `programs`, `walk`, …: of a session, or of `opened`.  Made while there is CAP_SYS_ADMIN, without which
    /proc/iomem and /proc/self/pagemap hide addresses; reading needs CAP_BPF alone.
    `caches`: by address; `aliases`: of merged caches, by name.
    """

    def __init__(
        self,
        programs: Programs,
        walk: SlabWalk,
        kallsyms: Kallsyms,
        caches: dict[int, SlabCache],
        aliases: dict[str, list[str]],
        vmemmap: int,
    ) -> None:
        self._btf = Btf()
        self._owns_programs = False
        self.programs, self.walk, self.kallsyms = programs, walk, kallsyms
        self.caches, self.aliases, self.vmemmap = caches, aliases, vmemmap
        try:
            self._learn()
        except BaseException:
            self._btf.close()
            raise

    def _learn(self) -> None:
        btf = self._btf
        self.fields = Fields(btf)
        self.shape, self.pins = examine(btf), pin_shape.examine(btf)
        self.charges = charge_shape.examine(btf)
        slabs = shape.examine(btf, possible_nodes())
        if slabs is None or not self.caches:
            raise _UNKNOWN_SLABS
        if not self.vmemmap:
            raise CaptureError("it cannot be found out where the kernel's struct pages are", "try it again")
        self.slab_shape, self.large = slabs, large_shape(btf)
        self.others = others.examine(btf, self.shape)
        any_cache = next(iter(self.caches))
        self.memory = KernelMemory(self.programs, self.walk, kernel_half(any_cache))
        self.percpu = PerCpu(self.programs, self.walk, slabs.pptrs, possible_cpus())
        self.physical: PhysicalMemory = parse_iomem(IOMEM.read_text())
        self.base = direct_map(self.memory, any_cache, max(each.stop for each in self.physical.ram))

    @classmethod
    def opened(cls) -> Machine:
        """The running kernel's, with programs of its own; nothing is traced."""
        btf = Btf()
        try:
            kernel, kfuncs = examine(btf), Kfuncs(btf)
        finally:
            btf.close()
        programs = Programs(compile_bpf({**kernel.defines(), **kfuncs.defines()}, "inspect.c"), kfuncs)
        try:
            kallsyms = Kallsyms()
            first = walk.find_any_cache(programs, kernel, kallsyms.address("slab_caches"))
            reader = SlabWalk(programs, kernel)
            caches = {cache.address: cache for cache in reader.all_caches(first)}
            symbols = map(kallsyms.address, walk.VMEMMAP_SYMBOLS)
            vmemmap = reader.find_vmemmap(list(caches.values()), *symbols)
            machine = cls(programs, reader, kallsyms, caches, walk.aliases(), vmemmap)
        except BaseException:
            programs.close()
            raise
        machine._owns_programs = True
        return machine

    def renew(self, caches: dict[int, SlabCache], aliases: dict[str, list[str]]) -> None:
        """Take these caches from now on: some came, and some ended, since it was made."""
        self.caches, self.aliases = caches, aliases

    def pages(self, go_on: Callable[[], bool] = lambda: True) -> Pages:
        """All slabs, and large kmallocs."""
        return self.page_scan().pages(self.physical.ram, self.base, go_on)

    def page_scan(self) -> PageScan:
        """Reads struct pages."""
        return PageScan(self.memory, self.shape, self.slab_shape, self.vmemmap, self.large)

    @property
    def end(self) -> int:
        """Where the direct map of memory ends; it begins at `base`."""
        return self.base + max(each.stop for each in self.physical.ram)

    def percpu_section(self) -> range:
        """The per-CPU section of the kernel; empty if it is not known.

        Its size is in the BTF, of 5.10 only in the symbols around it.  The first CPU's copy begins at a
        multiple of 2 MiB (pcpu_embed_first_chunk, PMD_SIZE), and some caches have their per-CPU part in the
        same chunk, after it.
        """
        first = self.percpu.bases.get(0)
        size = self._btf.section_size(".data..percpu") or bytes_between("__per_cpu_start", "__per_cpu_end")
        sheaves = self.slab_shape.sheaves
        places = [self.slab_shape.cpu_slab, sheaves.percpu if sheaves else None]
        if not size or first is None:
            return range(0)
        known = [place for place in places if place is not None]
        for cache, place in ((cache, place) for place in known for cache in self.caches):
            pointer = self.walk.u64(cache + place)
            at = (pointer + first) % (1 << 64)
            if pointer and self.base <= at < self.end:
                begin = (at // _ALIGNED * _ALIGNED - first) % (1 << 64)
                return range(begin, begin + size) if pointer - begin >= size else range(0)
        return range(0)

    def in_use(self, cache: SlabCache) -> InUse:
        """Reads the slabs of a cache.  Raises ValueError for one whose lists cannot be read."""
        return reader_of(self.walk, self.memory, self.slab_shape, self.percpu, cache)

    def names_of(self, cache: SlabCache) -> list[str]:
        """The name of a cache and its aliases."""
        return [cache.name, *self.aliases.get(cache.name, [])]

    def close(self) -> None:
        """Free what is its own; after `opened`, nothing is left in the kernel."""
        if self._owns_programs:
            self.programs.close()
        self._btf.close()
