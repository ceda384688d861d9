# SPDX-License-Identifier: Apache-2.0
"""A packed trace is read like its folder, and a hostile archive does no harm."""

from __future__ import annotations

import copy
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import slabtrace
from slabtrace.commands import cli
from slabtrace.errors import TraceError
from slabtrace.trace.files import files
from slabtrace.trace.reading.reader import TraceReader
from tests.places import FIXTURES

TRACES = sorted(FIXTURES.glob("*.slab"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "t.slab.zip"
    with path.open("wb") as file:
        files.pack(FIXTURES / "slow-leak.slab", file)
    return path


def slab(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)


@pytest.mark.parametrize("trace", TRACES, ids=[each.stem for each in TRACES])
def test_a_packed_trace_is_read_like_its_folder(tmp_path: Path, trace: Path) -> None:
    path = tmp_path / "t.zip"
    with path.open("wb") as file:
        assert files.pack(trace, file) == len(files.Folder(trace).names())
    folder, one = slabtrace.open(trace), slabtrace.open(path)
    assert one.leaks().equals(folder.leaks())
    assert one.completeness() == folder.completeness()
    assert one.damage == folder.damage


def test_files_are_aligned_as_arrow_requires(packed: Path) -> None:
    content = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            stored = archive.read(entry)
            assert content.index(stored[:64], entry.header_offset) % files.ALIGNMENT == 0


def test_pack_and_unpack_give_the_same_files(tmp_path: Path) -> None:
    packed, folder = tmp_path / "a.slab.zip", tmp_path / "a.slab"
    assert slab("pack", TRACES[0], "-o", packed).output == f"{packed}\n"
    assert slab("unpack", packed).output == f"{folder}\n"
    before, after = files.Folder(TRACES[0]), files.Folder(folder)
    assert before.names() == after.names()
    assert all((folder / n).read_bytes() == (TRACES[0] / n).read_bytes() for n in after.names())
    modes = {path: path.stat().st_mode & 0o777 for path in [packed, folder, folder / "manifest.json"]}
    assert list(modes.values()) == [0o600, 0o700, 0o600]


def test_nothing_is_overwritten_without_force(tmp_path: Path, packed: Path) -> None:
    (tmp_path / "t.slab").mkdir()
    for arguments in (["pack", TRACES[0], "-o", packed], ["unpack", packed]):
        error = slab(*arguments).exception
        assert isinstance(error, slabtrace.errors.UsageError) and "exists" in str(error)
    assert slab("pack", TRACES[0], "-o", packed, "--force").exit_code == 0
    assert list((tmp_path / "t.slab").iterdir()) == []


def rewritten(packed: Path, change: Callable[[zipfile.ZipFile], None], keep: bool = True) -> Path:
    """A copy of an archive, with a change."""
    path = packed.with_name("other.zip")
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist() if keep else []:
            target.writestr(entry, source.read(entry))
        change(target)
    return path


@pytest.mark.parametrize(
    "name",
    ["../out.arrow", "/tmp/out.arrow", "events/../../out.arrow", "a/b.arrow", "x.py", "events/1.arrow/"],
)
def test_only_files_of_a_trace_are_unpacked(tmp_path: Path, packed: Path, name: str) -> None:
    path = rewritten(packed, lambda archive: archive.writestr(name, b"evil"))
    folder = tmp_path / "deep" / "down"
    folder.parent.mkdir()
    assert slab("unpack", path, "-o", folder).exit_code == 0
    found = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    assert found == set(files.Folder(FIXTURES / "slow-leak.slab").names())
    assert [each.name for each in folder.parent.iterdir()] == ["down"]
    assert not Path("/tmp/out.arrow").exists()


def test_a_symlink_in_an_archive_is_unpacked_as_a_file(tmp_path: Path, packed: Path) -> None:
    link = zipfile.ZipInfo("marks.arrow")
    link.external_attr = 0o120777 << 16
    path = rewritten(packed, lambda archive: archive.writestr(link, b"/etc/passwd"), keep=False)
    (tmp_path / "out").mkdir()
    files.unpack(path, tmp_path / "out")
    assert not (tmp_path / "out/marks.arrow").is_symlink()
    assert (tmp_path / "out/marks.arrow").read_bytes() == b"/etc/passwd"


def test_a_zip_bomb_is_refused(packed: Path) -> None:
    bomb = lambda archive: archive.writestr("stacks.arrow", bytes(1 << 24), zipfile.ZIP_DEFLATED)  # noqa: E731
    with pytest.raises(TraceError, match="compressed"):
        TraceReader(rewritten(packed, bomb, keep=False))


def test_overlapping_files_in_an_archive_are_damage(tmp_path: Path, packed: Path) -> None:
    """300 entries for the same megabyte: unchecked, a million of them would take a day to read."""

    def again(archive: zipfile.ZipFile) -> None:
        first = archive.infolist()[0]
        for number in range(300):
            other = copy.copy(first)
            other.filename = f"events/{number + 1:05}.arrow"
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True  # type: ignore[attr-defined]

    (tmp_path / "out").mkdir()
    again_and_again = rewritten(packed, again)
    with pytest.raises(TraceError, match="claims to hold more"):
        files.unpack(again_and_again, tmp_path / "out")
    assert not any((tmp_path / "out").rglob("*.arrow"))
    reader = TraceReader(again_and_again)
    assert sum(batch.size for batch in reader.events()) == sum(
        batch.size for batch in TraceReader(packed).events()
    )
    assert sum("overlaps another file" in each for each in reader.damage) == 300


def test_an_archive_of_other_files_is_refused(packed: Path) -> None:
    with pytest.raises(TraceError, match=r"has no manifest\.json"):
        TraceReader(rewritten(packed, lambda archive: archive.writestr("a.txt", b""), keep=False))


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w"):
        pass
    with pytest.raises(TraceError, match=r"has no manifest\.json"):
        slabtrace.open(tmp_path / "t.zip")


def test_a_cut_archive_is_refused(packed: Path) -> None:
    """The central directory is at the end of an archive."""
    content = packed.read_bytes()
    for length in range(0, len(content), len(content) // 101):
        packed.write_bytes(content[:length])
        with pytest.raises(TraceError):
            TraceReader(packed)


def test_a_wrong_length_is_damage(packed: Path) -> None:
    content = bytearray(packed.read_bytes())
    at = content.rindex(b"PK\1\2")  # the last file's entry in the central directory
    content[at + 20 : at + 28] = (1 << 30).to_bytes(4, "little") * 2
    packed.write_bytes(content)
    trace = slabtrace.open(packed)
    trace.leaks()
    assert trace.damage


def test_a_fifo_is_not_a_trace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match="not a NAME"):
        TraceReader(tmp_path / "pipe")


SECRET = "what is the reader's own"


def link_to_file(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def link_to_folder(path: Path, secret: Path) -> None:
    elsewhere = secret.with_name("elsewhere")
    path.parent.rename(elsewhere)
    shutil.copy(FIXTURES / "slow-leak.slab/events/00000.arrow", elsewhere)
    path.parent.symlink_to(elsewhere)


REPLACED: dict[str, Callable[[Path, Path], object]] = {
    "link": link_to_file,
    "linked folder": link_to_folder,
    "fifo": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "endless": lambda path, _: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("how", REPLACED)
def test_only_plain_files_are_read_or_packed(tmp_path: Path, how: str) -> None:
    """A link in another user's folder may point to a private file, and nobody may write to a FIFO there."""
    trace, secret = tmp_path / "t.slab", tmp_path / "secret"
    shutil.copytree(FIXTURES / "slow-leak.slab", trace)
    secret.write_text(SECRET)
    path = trace / "events" / "00000.arrow"
    path.unlink()
    REPLACED[how](path, secret)
    opened = slabtrace.open(trace)
    assert opened.leaks().empty and "not a plain file" in str(opened.damage)
    refused = slab("pack", trace, "-o", tmp_path / "t.zip").exception
    assert isinstance(refused, TraceError) and "not a plain file" in str(refused)
    assert not (tmp_path / "t.zip").exists()
