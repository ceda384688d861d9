# SPDX-License-Identifier: Apache-2.0
"""--percpu, --pages, --vmalloc: the programs for memory that is of no slab, and what they must know."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from slabtrace.capture.kernel import page_shape, percpu_shape
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.page_shape import PageShape
from slabtrace.capture.kernel.percpu_shape import PercpuShape
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.programs import marked_text
from slabtrace.capture.programs.layout import header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.programs.marked_text import MarkedText
from slabtrace.capture.slabs.touched import highest_page

PAGE_ROW = header_numbers("pages.h")["PAGE_ROW"]
# What is left out of --pages, by kind of caller: how the manifest calls it.
LEFT_OUT = {
    marked_text.SLAB: "slab",
    marked_text.LARGE: "large kmalloc",
    marked_text.PAGE_CACHE: "page cache",
    marked_text.USER: "movable",
    marked_text.VMALLOC: "vmalloc",
    marked_text.PERCPU: "percpu",
}


@dataclass(frozen=True)
class OtherMemory:
    """Which of it is recorded, and how its tracepoints look."""

    options: CaptureOptions
    percpu: PercpuShape | None
    pages: PageShape | None
    text: MarkedText | None
    page_rows: int  # of bpf/pages.h, a power of two
    _counted: list[Any] = field(default_factory=list)  # the map of what is left out

    @property
    def programs(self) -> dict[str, str]:
        """{program: tracepoint}; each may have a twin."""
        found = {name: name for name in percpu_shape.TRACEPOINTS} if self.percpu else {}
        found |= page_shape.PAGES if self.options.pages else {}
        return found | (page_shape.VMALLOC if self._vmalloc else {})

    @property
    def unrecorded(self) -> list[str]:
        """What was asked for and this kernel cannot report, with the reason."""
        return [f"vmalloc: {page_shape.NO_VMALLOC}"] if self.options.vmalloc and not self._vmalloc else []

    @property
    def _vmalloc(self) -> bool:
        return self.options.vmalloc and self.pages is not None and self.pages.has_vmalloc

    def defines(self) -> dict[str, int | str | None]:
        """The -D options for bpf/."""
        defines: dict[str, int | str | None] = dict(self.percpu.defines()) if self.percpu else {}
        if self.pages is None or self.text is None:
            return defines
        defines |= {**self.pages.defines(tuple(self.programs.values())), **self.text.defines()}
        if self._vmalloc:
            defines["VMALLOC_MEMORY"] = None
        if self.options.pages:
            left_out = sum(1 << kind for kind in self._left_out)
            defines |= {"PAGE_MEMORY": None, "PG_UPTODATE": self.pages.uptodate, "LEFT_OUT": left_out}
            defines["PAGE_ROWS"] = self.page_rows
        return defines

    @property
    def _left_out(self) -> list[int]:
        """Kinds of callers whose pages have other events, or are counted by their caches."""
        also = {marked_text.VMALLOC: self._vmalloc, marked_text.PERCPU: self.percpu is not None}
        return [kind for kind in LEFT_OUT if also.get(kind, True)]

    def fill(self, programs: Programs) -> None:
        """Give the programs what they must know, before they are attached."""
        if self.text is not None and self.programs.keys() - set(percpu_shape.TRACEPOINTS):
            self.text.fill(programs)

    def left_out(self, programs: Programs, cpus: int) -> dict[str, int]:
        """Pages that were allocated and left out so far, by what they are for."""
        if not self.options.pages:
            return {}
        if not self._counted:
            dtype = struct_dtype("pages.h", "left_out")
            self._counted.append(programs.mapped("left_out", dtype, cpus * marked_text.KINDS))
        pages = self._counted[0]["pages"].reshape(cpus, marked_text.KINDS).sum(axis=0)
        return {LEFT_OUT[kind]: int(pages[kind]) for kind in self._left_out}


def examine(btf: Btf, options: CaptureOptions, cpus: int) -> OtherMemory:
    """What the options ask for, on this kernel.  Raises CaptureError where --percpu or --pages cannot be."""
    percpu = percpu_shape.examine(btf, cpus) if options.percpu else None
    if not (options.pages or options.vmalloc):
        return OtherMemory(options, percpu, None, None, 0)
    shape = page_shape.examine(btf)
    if options.pages:
        page_shape.check_pages(shape)
    text = marked_text.read_marked() if options.pages or shape.has_vmalloc else None
    return OtherMemory(
        options, percpu, shape, text, page_rows(highest_page() or 2 * os.sysconf("SC_PHYS_PAGES"))
    )


def page_rows(pages: int) -> int:
    """Rows of PAGE_ROW pages for memory up to that page, a power of two; holes between zones included."""
    return 1 << (-(-pages // PAGE_ROW) - 1).bit_length()
