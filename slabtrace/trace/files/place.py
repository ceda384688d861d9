# SPDX-License-Identifier: Apache-2.0
"""Where a trace is written: its folder, which is new and private, and the files in it.

The recorder is root, but the folder above may belong to anybody.  Its owner can rename what is in it, or put
a link there, at any moment.  So the folder of a trace is opened once, when it is made, and used by its
descriptor: it is given to its owner that way, and files are created in it that way, whatever its path leads
to by then.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from slabtrace.errors import UsageError
from slabtrace.trace.format import schema

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # so that a FIFO does not block
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Place:
    """A folder to write into.  `path`: its path when it was opened.

    Raises OSError, also for a link to a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, _FOLDER)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            os.close(self._descriptor)

    def create(self, name: str) -> int:
        """The descriptor of a new file in it, mode 0600.  Raises OSError."""
        return os.open(name, _NEW, 0o600, dir_fd=self._descriptor)

    def replace(self, name: str, content: bytes) -> None:
        """Write a file atomically: a reader sees the old or the new one, never half.  Raises OSError."""
        beside = f"{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=self._descriptor)
        with os.fdopen(self.create(beside), "wb") as file:
            file.write(content)
        self.rename(beside, name)

    def reserve(self, size: int) -> int | None:
        """Keep `size` bytes of the disk free until the returned descriptor is closed; None where that fails.

        The file has no name (O_TMPFILE), so a recorder that is killed leaves nothing of it.
        """
        try:
            descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=self._descriptor)
        except OSError:  # not every filesystem has it
            return None
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def rename(self, name: str, to: str) -> None:
        """Rename a file in it.  Raises OSError."""
        os.replace(name, to, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def make(self, name: str) -> None:
        """Make a new folder in it, mode 0700; a folder of that name is deleted first.  Raises OSError."""
        with suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=self._descriptor)
        os.mkdir(name, 0o700, dir_fd=self._descriptor)

    def is_trace(self) -> bool:
        """Whether it is a trace; a manifest.json is not enough, for browser extensions have one too."""
        with suppress(OSError):  # a recorder was killed before anything was written
            if _names(self._descriptor) == [schema.EVENTS_DIR]:
                events = os.open(schema.EVENTS_DIR, _FOLDER, dir_fd=self._descriptor)
                try:
                    return not _names(events)
                finally:
                    os.close(events)
        try:
            manifest = os.open(schema.MANIFEST, _OLD, dir_fd=self._descriptor)
        except OSError:
            return False
        with os.fdopen(manifest, "rb") as file:
            return re.search(rb'"format": *"%s"' % schema.FORMAT.encode(), file.read(1 << 12)) is not None

    def empty(self) -> None:
        """Delete everything in it, the manifest last.  Raises OSError."""
        for name in sorted(_names(self._descriptor), key=lambda name: name == schema.MANIFEST):
            if stat.S_ISDIR(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=self._descriptor)
            else:
                os.unlink(name, dir_fd=self._descriptor)

    def fill(self, owner: tuple[int, int] | None) -> None:
        """Make the folder of events in a folder that was just made, and give both to `owner`.

        Raises OSError, also if somebody has replaced the folder by another one.
        """
        with os.scandir(self._descriptor) as there:
            swapped = any(there)
        if not swapped:
            os.mkdir(schema.EVENTS_DIR, 0o700, dir_fd=self._descriptor)
            mine = os.stat(schema.EVENTS_DIR, dir_fd=self._descriptor, follow_symlinks=False)
            # compared with a new folder, not with our uid: FAT, and NFS for root, give files another owner
            swapped = os.fstat(self._descriptor).st_uid != mine.st_uid
        if swapped:
            raise FileExistsError(None, "somebody replaced it by something else")
        if owner is not None and owner[0] != mine.st_uid:
            os.chown(schema.EVENTS_DIR, *owner, dir_fd=self._descriptor, follow_symlinks=False)
            os.fchown(self._descriptor, *owner)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as there:
        return [each.name for each in there]


def make_place(folder: Path, owner: tuple[int, int] | None = None, force: bool = False) -> Place:
    """A new NAME.slab folder with an empty events/, mode 0700, both given to `owner` (uid, gid), if any.

    Raises UsageError if the folder exists (unless `force`) or cannot be made.
    """
    check_place(folder, force)
    if folder.exists():
        remove_trace(folder)
    try:
        folder.mkdir(mode=0o700)
        place = Place(folder)
        place.fill(owner)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}", "choose another place with -o"
        ) from error
    return place


def check_place(folder: Path, force: bool) -> None:
    """Raise UsageError if no trace can be made here; to be called before anything is set up."""
    if folder.is_symlink() or folder.exists():
        if not force:
            raise UsageError(
                f"{folder} exists already", "choose another name with -o, or add --force to replace it"
            )
        if not _is_trace(folder):
            raise UsageError(
                f"{folder} exists and is not a slabtrace trace",
                "--force replaces traces only; remove it yourself",
            )
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"{folder} cannot be made: {parent} is not a folder", "choose another place with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be made: {parent} is not writable", "choose another place with -o")


def _is_trace(folder: Path) -> bool:
    try:
        return Place(folder).is_trace()
    except OSError:  # a link, a file, or not readable
        return False


def remove_trace(folder: Path) -> None:
    """Delete a trace, its manifest last.  Raises UsageError if that fails, or if it is not a trace."""
    try:
        place = Place(folder)
        if not place.is_trace():
            raise FileExistsError(None, "it is not a slabtrace trace")
        place.empty()
        folder.rmdir()
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be replaced: {error.strerror}", "choose another name with -o"
        ) from error
