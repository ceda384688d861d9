# SPDX-License-Identifier: Apache-2.0
"""What is learnt from kernel memory agrees with what the kernel tells by other ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slabtrace.capture.kernel import slabinfo
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.session import Session


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session(CaptureOptions(stacks="none", buffer_mib=1))
    yield session
    session.close()


def listed() -> dict[str, slabinfo.SlabinfoRow]:
    """Each cache's row of slabinfo, by name."""
    return {row.name: row for row in slabinfo.parse(Path("/proc/slabinfo").read_text())}


def test_every_cache_is_found_with_its_sizes() -> None:
    """Caches may come and go meanwhile: those that stay must be found, and none that never was."""
    before = listed()
    session = Session(CaptureOptions(stacks="none", buffer_mib=1))
    found = {cache.name: cache for cache in session.caches.all()}
    session.close()
    after = listed()
    assert before.keys() & after.keys() <= found.keys() <= before.keys() | after.keys()
    for name in before.keys() & after.keys():
        row, cache = after[name], found[name]
        assert (cache.size, cache.objects_per_slab) == (row.objsize, row.objperslab), name
        assert 1 << cache.order == row.pagesperslab, name
        own = int((Path("/sys/kernel/slab") / name / "object_size").read_text())
        assert cache.object_size == own, name


def test_reclaimable_caches(session: Session) -> None:
    for cache in session.caches.all():
        own = (Path("/sys/kernel/slab") / cache.name / "reclaim_account").read_text().strip()
        assert cache.reclaimable == (own == "1"), cache.name


def test_the_page_of_a_slab_object_leads_back_to_its_cache(session: Session) -> None:
    """For every cache, any kmem_cache is itself a slab object: of the cache called kmem_cache."""
    (boot,) = (cache for cache in session.caches.all() if cache.name == "kmem_cache")
    shape = session.shape
    for cache in list(session.caches.all())[:50]:
        page = (session.vmemmap + (cache.address >> 12) * shape.sizeof_page) % (1 << 64)
        head = session.walk.u64(page + shape.compound_head)
        if head & 1:
            page = head - 1
        assert session.walk.u64(page + shape.slab_cache) == boot.address
