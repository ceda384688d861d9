# SPDX-License-Identifier: Apache-2.0
"""Which dentries and inodes are pinned, on the running kernel: those of what a process holds, and no others.

holder.c holds sockets, pipes and open files, has looked up names that do not exist, and closed other files.
All of them are objects of reclaimable caches; only what is held is pinned, and only that survives --settle.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.scan import scan
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.slabs import pin_shape
from tests.live.conftest import PATIENCE_S, Recording, wait_for
from tests.live.ordinary_user import NOBODY

SOCKETS, PIPES, OPEN, NEGATIVE, CLOSED = 41, 37, 31, 43, 29
PINNED, FREEABLE = 1, 0
States = dict[str, Counter[int]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder in /var/tmp, which is on a disk: tmpfs pins its dentries itself."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-pins-", dir="/var/tmp") as name:
        yield Path(name)


def states_of(trace: Path, pid: int) -> States:
    """By cache: how many of the objects that `pid` left are pinned (1), not pinned (0), unknown (-1)."""
    recorded = Recorded(trace)
    live = scan(recorded.events(), recorded.pairer(), [])
    caches, states = recorded.caches, recorded.pins.pinned(live)
    found: States = {}
    for site, tid, state in zip(live.site.tolist(), live.tid.tolist(), states.tolist(), strict=True):
        if tid == pid:
            found.setdefault(caches.names[caches.of_site[site]], Counter())[state] += 1
    return found


@pytest.fixture
def hold(
    start_recording: Callable[..., Recording], build: Callable[[str], Path], folder: Path
) -> Callable[..., States]:
    """Record while a process holds what it holds, and `meanwhile` too.  Returns the states of its objects."""

    def run(*options: str, meanwhile: Callable[[], None] = lambda: None) -> States:
        argv = [str(build("holder")), str(folder), *map(str, (SOCKETS, PIPES, OPEN, NEGATIVE, CLOSED))]
        recording = start_recording("--cache", "dentry", "--cache", "*inode*", *options)
        wait_for(
            lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached
        )
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            pid = int(holder.stdout.readline())
            meanwhile()
            status, stderr = recording.end()
            holder.stdin.close()
            assert holder.wait(PATIENCE_S) == 0
        assert status == 0, stderr
        return states_of(recording.trace, pid)

    return run


def files_of(states: States) -> Counter[int]:
    """The inodes that belong to neither sockets nor pipes: those of the disk's file system."""
    others = [states[name] for name in states if name not in ("dentry", "inode_cache", "sock_inode_cache")]
    files = sum(others, Counter[int]())
    return Counter({state: files[state] for state in (PINNED, FREEABLE) if files[state]})


def test_this_kernel_is_known() -> None:
    types = Btf()
    try:
        assert pin_shape.examine(types) is not None
    finally:
        types.close()


def test_what_is_held_is_pinned_and_what_is_only_cached_is_not(hold: Callable[..., States]) -> None:
    states = hold()
    assert states["dentry"] == {PINNED: SOCKETS + PIPES + OPEN, FREEABLE: NEGATIVE + CLOSED}
    assert states["sock_inode_cache"] == {PINNED: SOCKETS}
    assert states["inode_cache"] == {PINNED: PIPES}
    assert files_of(states) == {PINNED: OPEN, FREEABLE: CLOSED}


def test_a_recorder_behind_sudo_reads_it_too(
    hold: Callable[..., States], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nobody by then, with few capabilities."""
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    assert hold()["dentry"] == {PINNED: SOCKETS + PIPES + OPEN, FREEABLE: NEGATIVE + CLOSED}


def test_after_settle_only_what_is_held_is_left(hold: Callable[..., States]) -> None:
    states = hold("--settle")
    assert states["dentry"] == {PINNED: SOCKETS + PIPES + OPEN}
    assert states["sock_inode_cache"] == {PINNED: SOCKETS}
    assert states["inode_cache"] == {PINNED: PIPES}
    assert files_of(states) == {PINNED: OPEN}


@pytest.fixture
def overlay(folder: Path) -> Iterator[Callable[[], Path]]:
    """Mount an overlay over the folder; returns the mount point.  Unmounted after the test."""
    types = Btf()
    try:
        if not types.has_field("ovl_inode", "oe"):
            pytest.skip(
                "overlayfs is not in this kernel's BTF, or keeps lower dentries elsewhere (before 6.5)"
            )
    finally:
        types.close()
    with tempfile.TemporaryDirectory(prefix="slabtrace-overlay-", dir="/var/tmp") as name:
        empty, merged = Path(name, "empty"), Path(name, "merged")
        empty.mkdir()
        merged.mkdir()

        def mount() -> Path:
            lower = f"lowerdir={folder}:{empty}"
            subprocess.run(["mount", "-t", "overlay", "-o", lower, "none", str(merged)], check=True)
            return merged

        yield mount
        if merged.is_mount():
            subprocess.run(["umount", str(merged)], check=True)


def test_cached_files_of_overlayfs_pin_nothing(
    hold: Callable[..., States], overlay: Callable[[], Path]
) -> None:
    """They hold a reference to the dentry of each closed file, and go themselves when memory is short."""
    looked_up: list[Path] = []

    def look_up() -> None:
        looked_up.extend(overlay().glob("closed-*"))
        assert all(path.stat().st_size == 0 for path in looked_up)

    states = hold(meanwhile=look_up)
    assert len(looked_up) == CLOSED
    assert states["dentry"] == {PINNED: SOCKETS + PIPES + OPEN, FREEABLE: NEGATIVE + CLOSED}
    assert files_of(states) == {PINNED: OPEN, FREEABLE: CLOSED}
