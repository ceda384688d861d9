# SPDX-License-Identifier: Apache-2.0
"""--pages, --vmalloc: what the tracepoints of pages and of kernel address ranges look like on this kernel.

include/trace/events/kmem.h: mm_page_free fires for every block that is freed.  mm_page_free_batched fires in
addition, for those of a batch (mm/page_alloc.c: free_unref_folios), so it is not needed.
include/trace/events/vmalloc.h is not in 6.1 yet, where no tracepoint reports vmalloc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slabtrace.capture.kernel import arguments
from slabtrace.capture.kernel.btf import Btf
from slabtrace.errors import CaptureError

PAGES = {"pages_alloc": "mm_page_alloc", "pages_free": "mm_page_free"}  # {program: tracepoint}
VMALLOC = {"vmalloc_area": "alloc_vmap_area", "vfree_area": "free_vmap_area_noflush"}
NO_VMALLOC = "this kernel has no tracepoint vmalloc:alloc_vmap_area (later than 6.1)"


@dataclass(frozen=True)
class PageShape:
    """{argument: index} of the tracepoints that can be used, and the bit of PG_uptodate in page.flags."""

    arguments: Mapping[str, Mapping[str, int]]
    uptodate: int

    @property
    def has_vmalloc(self) -> bool:
        """Whether areas of vmalloc can be recorded."""
        return all(tracepoint in self.arguments for tracepoint in VMALLOC.values())

    def defines(self, own: tuple[str, ...]) -> dict[str, int]:
        """The -D numbers of the tracepoints `own`; those that all recordings need have theirs already."""
        return {
            name: index
            for tracepoint in own
            if tracepoint in self.arguments and tracepoint != "mm_page_free"
            for name, index in arguments.defines(tracepoint, self.arguments[tracepoint]).items()
        }


def examine(btf: Btf) -> PageShape:
    """Learn the arguments from BTF."""
    names = (*PAGES.values(), *VMALLOC.values())
    found = {name: arguments.of_tracepoint(btf, name) for name in names}
    uptodate = btf.enum_value("pageflags", "PG_uptodate")
    known = {name: places for name, places in found.items() if places is not None}
    return PageShape(known, -1 if uptodate is None else uptodate)


def check_pages(shape: PageShape) -> None:
    """Raise CaptureError where --pages cannot be used."""
    lacking = [f"kmem:{each}" for each in PAGES.values() if each not in shape.arguments]
    if lacking or shape.uptodate < 0:
        raise CaptureError(
            f"--pages cannot be used: this kernel has no {', '.join(lacking) or 'PG_uptodate'} that is known",
            "record without --pages; `slabtrace account` shows the kernel's own counts of pages",
        )
