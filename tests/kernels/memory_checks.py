# SPDX-License-Identifier: Apache-2.0
"""Checks of a recording with --percpu, --pages and --vmalloc: what the module left of memory of no slab."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.kernels.leak_checks import Findings, Group, equal, made_by, through, total
from tests.kernels.workload import MEMORY_FAULTS, Fault


def _of(fault: Fault, groups: list[Group]) -> list[Group]:
    return [group for group in groups if re.fullmatch(fault.cache, group["cache"])]


def check_memory(fault: Fault) -> Callable[[Findings], None]:
    """A check: exactly what a fault left is outstanding, at its size.

    Before 6.0 per-CPU memory has no call site, up to 6.1 no tracepoint reports areas of vmalloc.
    """

    def check(findings: Findings) -> None:
        if fault.cache == r"\(vmalloc\)" and "vmalloc_area" not in findings.trace.manifest.coverage.attached:
            equal("said", "vmalloc" in " ".join(findings.trace.manifest.coverage.unrecorded), True)
            return
        groups = _of(fault, through(findings.stacks, fault.name))
        equal("outstanding", total(groups, "outstanding"), fault.kept)
        equal("bytes asked for", total(groups, "bytes_req"), fault.kept * fault.bytes_req)
        if sites := made_by(findings.call_sites, fault.name):
            hits = total(_of(fault, sites), "hits")
            equal("allocated", hits, fault.allocated or fault.count)

    return check


def check_call_sites(findings: Findings) -> None:
    """Who allocated pages is found from the stack, on every kernel: the module's own functions."""
    wanted = {fault.name for fault in MEMORY_FAULTS if "pages" in fault.cache}
    names = {site["symbol"].partition("+")[0].partition(".")[0] for site in findings.call_sites}
    equal("faults without a call site", wanted - names, set())


def check_once(findings: Findings) -> None:
    """No page is counted twice: those of slabs and large kmallocs are left out, and nothing freed wrongly."""
    pages = [group for group in findings.stacks if group["cache"].startswith("(pages")]
    twice = [group["symbol"] for group in pages if made_by([group], "leak_large|leak_kmalloc|leak_cache")]
    equal("pages of slabs or large kmallocs", twice, [])
    equal("slab pages were left out", findings.trace.manifest.totals.left_out.get("slab", 0) > 0, True)


def checks() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of leaks_script with OTHER_MEMORY."""
    for fault in MEMORY_FAULTS:
        yield fault.name, check_memory(fault)
    yield "call sites of pages", check_call_sites
    yield "no page twice", check_once
