# SPDX-License-Identifier: Apache-2.0
"""The writer: flushed batches are complete; a failed write raises WriteError and is in the manifest."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slabtrace.errors import UsageError
from slabtrace.trace import manifest as manifests
from slabtrace.trace.files import place
from slabtrace.trace.files.place import Place, check_place, make_place
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import COMPLETE, Manifest
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.writing.writer import RESERVE, TraceWriter, WriteError


def batch(first: int, count: int) -> EventBatch:
    times = np.arange(first, first + count)
    zeros = np.zeros(count, dtype=np.uint32)
    return EventBatch(times, times.astype(np.uint64), zeros, zeros, zeros.astype(np.uint16))


def site(writer: TraceWriter) -> None:
    """Write the site of all events here."""
    columns = {field.name: [0] for field in writer._tables["sites"].schema}
    writer.rows("sites", columns | {"kind": [1]})


def times(folder: Path) -> list[int]:
    return [int(ts) for events in TraceReader(folder).events() for ts in events.ts_ns]


def test_written_events_are_read_back(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    site(writer)
    writer.events(batch(0, 101))
    writer.events(batch(101, 23))
    writer.close(COMPLETE)
    assert times(tmp_path / "t.slab") == list(range(124))
    assert manifests.load(tmp_path / "t.slab").status == COMPLETE


def test_every_flushed_batch_is_readable_at_once(tmp_path: Path) -> None:
    """A file without a footer, as a killed recorder leaves it, can be read."""
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    site(writer)
    for number in range(5):
        writer.events(batch(number * 10, 10))
        assert times(tmp_path / "t.slab") == list(range(number * 10 + 10))


class FullDisk:
    """A file that accepts only `room` bytes; a batch may be cut."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(self._room, len(data))
        self._room -= taken
        return int(self._file.write(data[:taken]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_complete_batches(tmp_path: Path, room: int) -> None:
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    site(writer)
    writer.events(batch(0, 10))
    assert writer._segment is not None
    writer._segment._file = FullDisk(writer._segment._file, room)  # type: ignore[assignment]
    with pytest.raises(WriteError, match="the disk is full"):
        writer.events(batch(10, 10_000))
    with pytest.raises(WriteError):
        writer.close(COMPLETE)
    assert times(tmp_path / "t.slab") == list(range(10))
    assert manifests.load(tmp_path / "t.slab").status.startswith("failed: ")


def test_the_last_manifest_finds_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Footers may take the last block; room for the manifest, which says why the recording ended, is kept."""
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    assert writer._reserve is not None and os.fstat(writer._reserve).st_blocks * 512 >= RESERVE
    create = place.Place.create

    def create_on_full_disk(self: place.Place, name: str) -> int:
        if writer._reserve is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create(self, name)

    monkeypatch.setattr(place.Place, "create", create_on_full_disk)
    writer.close("failed: the disk is full")
    assert manifests.load(tmp_path / "t.slab").status == "failed: the disk is full"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.slab"]


def test_side_tables_have_no_empty_batches(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    before = writer.bytes
    writer.rows("marks", {"ts_ns": [], "text": []})
    assert writer.bytes == before


def test_other_users_may_not_read(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    site(writer)
    writer.events(batch(0, 1))
    for path in [tmp_path / "t.slab", *(tmp_path / "t.slab").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("force", [False, True])
def test_paths_where_no_trace_can_be_made(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "missing/t.slab"):
        with pytest.raises(UsageError):
            check_place(tmp_path / name, force)
    assert (tmp_path / "file").read_text() == "precious"


def test_force_does_not_delete_a_manifest_of_another_program(tmp_path: Path) -> None:
    """Extensions of browsers also have a manifest.json."""
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3, "name": "slabtrace helper"}')
    (tmp_path / "precious").touch()
    with pytest.raises(UsageError, match="not a slabtrace trace"):
        check_place(tmp_path, force=True)


def test_the_manifest_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("root's")
    (tmp_path / "t.slab").mkdir()
    (tmp_path / "t.slab" / "manifest.json.new").symlink_to(tmp_path / "victim")
    Manifest().save(Place(tmp_path / "t.slab"))
    assert (tmp_path / "victim").read_text() == "root's"
    assert manifests.load(tmp_path / "t.slab") == Manifest()


def test_a_trace_is_written_where_it_was_made_even_if_its_path_changes(tmp_path: Path) -> None:
    """The owner of the parent folder can move the trace, and put a link to a folder of root there."""
    writer = TraceWriter(tmp_path / "t.slab", Manifest())
    victim = tmp_path / "victim"
    (victim / "events").mkdir(parents=True)
    (tmp_path / "t.slab").rename(tmp_path / "moved")
    (tmp_path / "t.slab").symlink_to(victim)
    site(writer)
    writer.events(batch(0, 101))
    writer.close(COMPLETE)
    assert [path.name for path in victim.rglob("*")] == ["events"]
    assert times(tmp_path / "moved") == list(range(101))


def test_force_deletes_only_the_trace_that_it_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In between, the owner of the parent folder puts a link to a file of root there."""
    victim, old = tmp_path / "victim", tmp_path / "t.slab"
    (victim / "events").mkdir(parents=True)
    TraceWriter(old, Manifest()).close(COMPLETE)

    def then_swapped(folder: Path, force: bool) -> None:
        check_place(folder, force)
        old.rename(tmp_path / "away")
        old.symlink_to(victim)

    monkeypatch.setattr(place, "check_place", then_swapped)
    with pytest.raises(UsageError, match="cannot be replaced"):
        make_place(old, force=True)
    assert (victim / "events").is_dir()


@pytest.mark.parametrize("there", ["a link", "not empty"])
def test_only_the_folder_that_was_made_changes_its_owner(tmp_path: Path, there: str) -> None:
    """Another user may replace the folder between its creation and its opening."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    if there == "a link":
        (tmp_path / "t.slab").symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|somebody"):
        Place(tmp_path / "t.slab" if there == "a link" else victim).fill((1, 1))
    assert victim.stat().st_uid == os.getuid()
    assert [path.name for path in victim.iterdir()] == ["precious"]


def test_force_replaces_a_trace_that_was_killed_before_the_first_write(tmp_path: Path) -> None:
    make_place(tmp_path / "t.slab")
    check_place(tmp_path / "t.slab", force=True)
    (tmp_path / "t.slab" / "precious").touch()
    with pytest.raises(UsageError, match="not a slabtrace trace"):
        check_place(tmp_path / "t.slab", force=True)
