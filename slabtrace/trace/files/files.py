# SPDX-License-Identifier: Apache-2.0
"""The files of a trace: in a NAME.slab folder, or packed into one file.

A packed trace is a ZIP archive of these files, not compressed again (they are compressed already).  Each file
is read directly from the mapped archive, and nothing is unpacked for reading.  Compressed entries are
refused, so a stranger's archive cannot make a reader read more bytes than it has.  In a stranger's folder,
links are refused, which may point at any file of the reader, and so are FIFOs, at which a reader would wait
forever.
"""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from slabtrace.errors import TraceError
from slabtrace.trace.format import schema

ALIGNMENT = 64  # bytes, of every file in the archive; Arrow recommends it for buffers
PACKED = ".slab.zip"
_KNOWN = re.compile(
    rf"{schema.EVENTS_DIR}/[0-9]{{1,9}}\.arrow|({schema.CARRIED_DIR}/)?[a-z]{{1,32}}\.arrow|{schema.MANIFEST}"
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, lengths of the name and of the extra field
_PADDING = 0xD935  # the id of an extra field that only aligns (as Android's zipalign)


class Files(Protocol):
    """Files by their names in the trace, such as "manifest.json" and "events/00000.arrow"."""

    def names(self) -> list[str]:
        """The files that belong to a trace, sorted; other files are left out."""

    def open(self, name: str) -> pa.NativeFile:
        """A file, mapped into memory.  Raises OSError or pa.ArrowException where it cannot be read."""


class Folder:
    """The files of a NAME.slab folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """See Files."""
        folders = (self._path, self._path / schema.EVENTS_DIR, self._path / schema.CARRIED_DIR)
        found = [path for folder in folders for path in folder.glob("*")]
        names = (str(path.relative_to(self._path)) for path in found)
        return sorted(name for name in names if _KNOWN.fullmatch(name))

    def open(self, name: str) -> pa.NativeFile:
        """See Files."""
        return pa.memory_map(str(self.plain(name)))

    def plain(self, name: str) -> Path:
        """The path of a file.  Raises OSError if it is missing, or not a plain file of this folder."""
        path = self._path / name
        if not stat.S_ISREG(path.lstat().st_mode) or (path.parent != self._path and path.parent.is_symlink()):
            raise OSError(f"{name} is not a plain file")
        return path


class Packed:
    """The files of an archive made by `pack`.  Raises TraceError for anything else."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                entries = {each.filename: each for each in archive.infolist()}
                begins = sorted(each.header_offset for each in archive.infolist())
            self._map = pa.memory_map(str(path))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise TraceError(f"{path} is neither a NAME.slab folder nor a packed one: {error}") from None
        # Where the next file begins.  Entries may overlap: a trap can name the same bytes a million times.
        self._ends = dict(reversed([*pairwise([*begins, self._map.size()])]))
        self._entries = {name: entries[name] for name in sorted(entries) if _KNOWN.fullmatch(name)}
        for name, entry in self._entries.items():
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise TraceError(
                    f"{path}: {name} is compressed or encrypted",
                    "another tool made it: unzip it, and read the folder",
                )

    @property
    def claimed_bytes(self) -> int:
        """The sum of the files' lengths, by the table of contents."""
        return sum(entry.file_size for entry in self._entries.values())

    def names(self) -> list[str]:
        """See Files."""
        return list(self._entries)

    def open(self, name: str) -> pa.NativeFile:
        """See Files."""
        entry = self._entries[name]
        if entry.header_offset >= self._map.size():
            raise OSError(f"{name} is cut")
        header = self._map.read_at(_LOCAL_HEADER.size, entry.header_offset)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise OSError(f"{name} has no header")
        begin = entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header)[1:])
        end = begin + entry.file_size
        if end > self._map.size():
            raise OSError(f"{name} is cut")
        if end > self._ends[entry.header_offset]:
            raise OSError(f"{name} overlaps another file")
        self._map.seek(begin)
        return pa.BufferReader(self._map.read_buffer(entry.file_size))


def files_of(path: Path) -> Files:
    """The files of the trace at `path`.  Raises TraceError if there is none."""
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise TraceError(f"{path} does not exist")
    if not path.is_file():
        raise TraceError(f"{path} is not a NAME.slab folder")
    return Packed(path)


def pack(folder: Path, to: BinaryIO) -> int:
    """Write a trace's folder as an archive; returns the number of files.  Raises OSError, TraceError."""
    files = Folder(folder)
    names = files.names()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o600 << 16
            fixed = to.tell() + _LOCAL_HEADER.size + len(name) + 4
            entry.extra = struct.pack("<HH", _PADDING, -fixed % ALIGNMENT) + bytes(-fixed % ALIGNMENT)
            try:
                path = files.plain(name)
            except OSError as error:
                raise TraceError(f"{folder}: {error}", "only what a recorder wrote can be packed") from None
            with path.open("rb") as source, archive.open(entry, "w") as member:
                shutil.copyfileobj(source, member, 1 << 20)
    return len(names)


def unpack(packed: Path, folder: Path) -> int:
    """Write the files of an archive into the empty `folder`; returns their number.

    Only files of a trace, by their exact names, are written.  Raises TraceError, OSError.
    """
    files = Packed(packed)
    if files.claimed_bytes > packed.stat().st_size:  # entries may overlap
        raise TraceError(f"{packed} claims to hold more than it has", "The archive is damaged, or a trap.")
    for name in (schema.EVENTS_DIR, schema.CARRIED_DIR):
        if name == schema.EVENTS_DIR or any(each.startswith(name) for each in files.names()):
            (folder / name).mkdir(mode=0o700)
    for name in files.names():
        with files.open(name) as source, (folder / name).open("xb") as member:
            shutil.copyfileobj(source, member, 1 << 20)
        (folder / name).chmod(0o600)
    return len(files.names())
