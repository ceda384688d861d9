# SPDX-License-Identifier: Apache-2.0
"""What the slabs say at the end of a recording is so: messages are in use until their queue is removed."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.scan import scan
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.session import Session
from slabtrace.capture.storing import slab_check
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.schema import FREE_BIT
from tests.live.conftest import BY_LEAVER, PATIENCE_S, Leaver, Recording, slabtrace_json, wait_for
from tests.live.test_exact_counts import cache_of_a_message, groups_of

MESSAGES = 211  # more than a slab holds, so that some lie on slabs that no CPU allocates from
IPC_RMID = 0
SOCKETS, FILES = 43, 60_000
IN_USE = True


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(CaptureOptions(stacks="none", buffer_mib=1))
    yield session
    session.close()


def messages(leaver: Leaver) -> UInt64:
    """Addresses of the messages left in the queue: the last allocations of their site."""
    trace = slabtrace.open(leaver.trace)
    (group,) = (g for g in groups_of(leaver) if g["symbol"].startswith(("load_msg+", "alloc_msg+")))
    call_site = int(group["call_site"], 16)
    found: dict[int, bool] = {}
    command = trace.manifest.command
    assert command is not None
    for batch in trace.events(["ptr", "tgid", "call_site"]):
        for row in batch.to_pylist():
            if (row["call_site"], row["tgid"]) == (call_site, command.pid):
                found[row["ptr"]] = True
            elif row["ptr"] in found:
                del found[row["ptr"]]
    return np.array(sorted(found), np.uint64)


def in_use(session: Session, ptr: UInt64) -> set[int]:
    """Those of the objects at `ptr` that their slabs hold in use."""
    pages = np.unique(ptr >> np.uint64(12)) << np.uint64(12)
    found: set[int] = set()
    for row in slab_check.check_slabs(session, pages):
        free = np.unpackbits(np.frombuffer(row.free, np.uint8), bitorder="little")
        used = np.flatnonzero(free[: row.objects] == 0).astype(np.uint64)
        found |= set((np.uint64(row.slab) + np.uint64(row.stride) * used).tolist())
    return found & set(ptr.tolist())


def allocated(trace: Path) -> set[int]:
    """Addresses that were allocated while this was recorded, by anybody."""
    found: set[int] = set()
    for batch in slabtrace.open(trace).events(["ptr", "kind"]):
        found |= {row["ptr"] for row in batch.to_pylist() if not row["kind"] & FREE_BIT}
    return found


def test_messages_are_in_use_until_their_queue_is_removed(
    record_leaver: Callable[..., Leaver], session: Session, start_recording: Callable[..., Recording]
) -> None:
    """A second recording knows which of their addresses somebody else has taken again meanwhile."""
    leaver = record_leaver(MESSAGES, 0, 0, 0)
    ptr = messages(leaver)
    assert len(ptr) == MESSAGES
    assert in_use(session, ptr) == set(ptr.tolist())
    recording = start_recording("--cache", cache_of_a_message())
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached)
    assert ctypes.CDLL(None).msgctl(leaver.queue, IPC_RMID, None) == 0
    still = in_use(session, ptr)
    assert recording.end()[0] == 0
    taken_again = allocated(recording.trace)
    assert still <= taken_again
    assert set(ptr.tolist()) - taken_again, "every address was taken again: nothing is known of any"


def test_every_message_left_is_confirmed_in_use(record_leaver: Callable[..., Leaver]) -> None:
    """Nothing else can have happened to one of them than that it was freed unseen, and the event by which its
    address was allocated again was lost.
    """
    leaver = record_leaver(MESSAGES, 0, 0, 0)
    (group,) = (g for g in groups_of(leaver) if g["symbol"].startswith(("load_msg+", "alloc_msg+")))
    assert group["outstanding"] == group["in_use"] == MESSAGES
    assert group["confidence"] in ("exact", "bounded")
    assert group["maybe_freed"] <= slabtrace.open(leaver.trace).completeness().lost


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder on a disk, whose files have inodes in a big cache."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-slabs-", dir="/var/tmp") as name:
        yield Path(name)


def test_a_few_objects_beside_very_many_are_all_found_in_use(
    start_recording: Callable[..., Recording], build: Callable[[str], Path], folder: Path
) -> None:
    """43 sockets beside 60,000 new dentries and inodes: their slabs must not wait for the others'."""
    argv = [str(build("holder")), str(folder), *map(str, (SOCKETS, 0, 0, 0, FILES))]
    recording = start_recording()
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        pid = int(holder.stdout.readline())
        status, stderr = recording.end()
        holder.stdin.close()
        assert holder.wait(PATIENCE_S) == 0
    assert status == 0, stderr
    assert recording.manifest().totals.allocs >= 2 * FILES
    left = outstanding(recording.trace, pid)
    assert left["sock_inode_cache"] == {IN_USE: SOCKETS}
    assert left["UDP"] == {IN_USE: SOCKETS}


def outstanding(trace: Path, pid: int) -> dict[str, Counter[bool]]:
    """By cache: how many objects that `pid` left are in use by their slabs (True), or not known to be."""
    recorded = Recorded(trace)
    live = scan(recorded.events(), recorded.pairer(), [])
    caches, in_use = recorded.caches, recorded.slabs.held(live)
    found: dict[str, Counter[bool]] = {}
    for site, tid, state in zip(live.site.tolist(), live.tid.tolist(), in_use.tolist(), strict=True):
        if tid == pid:
            found.setdefault(caches.names[caches.of_site[site]], Counter())[state] += 1
    return found


def test_what_every_cpu_has_to_itself_is_found(session: Session) -> None:
    """Each CPU allocates from a slab of its own: the pointers we compute lead to slabs of the cache."""
    percpu, shape, walk = session.percpu(), session.slab_shape, session.walk
    assert shape is not None
    if shape.cpu_slab is None:
        pytest.skip("CPUs have no slabs of their own on this kernel")
    online = Path("/sys/devices/system/cpu/online").read_text().strip()
    assert len(percpu.bases) == int(online.rpartition("-")[2]) + 1
    found = 0
    for cache in session.caches.all():
        for address in percpu.addresses(walk.u64(cache.address + shape.cpu_slab)):
            slab = walk.u64(address + shape.cpu_current)
            if not slab:
                continue
            owner = walk.u64(slab + shape.slab_cache)
            if walk.u64(address + shape.cpu_current) != slab:
                continue  # the CPU has gone on to another slab, and this one may be another cache's by now
            assert owner == cache.address, cache.name
            found += 1
    assert found > len(percpu.bases)


def test_a_free_object_found_at_the_end_is_not_outstanding(
    record_leaver: Callable[..., Leaver],
) -> None:
    """Maple nodes are freed by kfree_rcu: where nothing watches that, their slabs tell."""
    leaver = record_leaver(0, 0, 0, 0, options=("--grace", "0.2s", *BY_LEAVER))
    content = slabtrace_json("info", str(leaver.trace))
    watched = not any(
        each["path"] == "kvfree_call_rcu" for each in content["manifest"]["coverage"]["unattached"]
    )
    if watched:
        pytest.skip("kfree_rcu is watched on this kernel")
    assert content["completeness"]["found_free"] > 0
