# SPDX-License-Identifier: Apache-2.0
"""The tracepoints of pages and vmalloc, as kernels declare them, and what is recorded of them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from slabtrace.capture import other_memory
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.page_shape import check_pages, examine
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.programs import marked_text
from slabtrace.capture.programs.marked_text import marked
from slabtrace.errors import CaptureError, UsageError

PAGES = {
    "mm_page_alloc": ["struct page *", "unsigned int", "gfp_t", "int"],
    "mm_page_free": ["struct page *", "unsigned int"],
}
VMALLOC = {
    "alloc_vmap_area": ["long unsigned int"] * 5 + ["int"],
    "free_vmap_area_noflush": ["long unsigned int"] * 3,
}


class FakeBtf:
    """A kernel with these tracepoints."""

    def __init__(self, tracepoints: dict[str, list[str]], uptodate: int | None = 2) -> None:
        self._tracepoints, self._uptodate = tracepoints, uptodate

    def tracepoint_arguments(self, tracepoint: str) -> list[str] | None:
        return self._tracepoints.get(tracepoint)

    def enum_value(self, enum: str, name: str) -> int | None:
        return self._uptodate


def kernel(*tracepoints: dict[str, list[str]], **values: Any) -> Btf:
    return cast("Btf", FakeBtf({k: v for each in tracepoints for k, v in each.items()}, **values))


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marked_text, "read_marked", lambda: marked([("vfree", range(0x1000, 0x1100))]))


def recorded(btf: Btf, **options: bool) -> other_memory.OtherMemory:
    return other_memory.examine(btf, CaptureOptions(**cast("Any", options)), 4)


def test_pages() -> None:
    found = recorded(kernel(PAGES, VMALLOC), pages=True)
    assert found.programs == {"pages_alloc": "mm_page_alloc", "pages_free": "mm_page_free"}
    defines = found.defines()
    assert (defines["ARG_mm_page_alloc_page"], defines["ARG_mm_page_alloc_gfp_flags"]) == (0, 2)
    assert defines["PG_UPTODATE"] == 2
    assert "PAGE_MEMORY" in defines and "VMALLOC_MEMORY" not in defines
    own = [marked_text.SLAB, marked_text.LARGE, marked_text.PAGE_CACHE, marked_text.USER]
    assert defines["LEFT_OUT"] == sum(1 << kind for kind in own)


def test_what_has_events_of_its_own_is_left_out_of_the_pages() -> None:
    found = recorded(kernel(PAGES, VMALLOC), pages=True, vmalloc=True).defines()
    assert cast("int", found["LEFT_OUT"]) & 1 << marked_text.VMALLOC
    assert not cast("int", found["LEFT_OUT"]) & 1 << marked_text.PERCPU


def test_vmalloc_alone() -> None:
    found = recorded(kernel(PAGES, VMALLOC), vmalloc=True)
    assert found.programs == {"vmalloc_area": "alloc_vmap_area", "vfree_area": "free_vmap_area_noflush"}
    defines = found.defines()
    assert (defines["ARG_alloc_vmap_area_addr"], defines["ARG_alloc_vmap_area_size"]) == (0, 1)
    assert (defines["ARG_alloc_vmap_area_failed"], defines["ARG_free_vmap_area_noflush_addr"]) == (5, 0)
    assert "PAGE_MEMORY" not in defines
    assert found.unrecorded == []


def test_a_kernel_without_tracepoints_of_vmalloc_says_so() -> None:
    found = recorded(kernel(PAGES), vmalloc=True)
    assert found.programs == {}
    assert found.unrecorded == [
        "vmalloc: this kernel has no tracepoint vmalloc:alloc_vmap_area (later than 6.1)"
    ]
    assert "VMALLOC_MEMORY" not in found.defines()


@pytest.mark.parametrize("btf", [kernel(), kernel({"mm_page_free": ["int"]}), kernel(PAGES, uptodate=None)])
def test_a_kernel_without_tracepoints_of_pages_is_refused(btf: Btf) -> None:
    with pytest.raises(CaptureError, match="--pages cannot be used"):
        check_pages(examine(btf))


def test_there_is_a_byte_for_each_page_of_memory() -> None:
    """8 GiB are 2,097,152 pages: 512 rows of 4,096; the rows are a power of two."""
    assert other_memory.page_rows(2_097_152) == 512
    assert other_memory.page_rows(2_097_153) == 1024
    assert other_memory.page_rows(7) == 1


@pytest.mark.parametrize(
    "options", [{"mode": "survivors"}, {"sample": 16}, {"budget": 0.02}, {"cache": ("kmalloc-*",)}]
)
def test_options_that_do_not_go_with_pages(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--pages does not go with"):
        CaptureOptions(pages=True, **options)
