# SPDX-License-Identifier: Apache-2.0
"""Writing a result to the file that the user named: never over an existing file unless asked, never half."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from slabtrace.errors import UsageError
from slabtrace.invoker import invoking_user


def check_new(path: Path, force: bool) -> None:
    """Raise UsageError if a file `path` exists and `force` is not set, or its folder does not exist."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file")
    if path.is_file() and not force:
        raise UsageError(f"{path} exists", "overwrite it with --force, or choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", f"make it: mkdir -p {path.parent}")


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Raise UsageError if the name of `path` does not end with one of `suffixes`, which name formats."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"the name {path} does not say which format", f"end it with {' or '.join(suffixes)}")


def say_written(path: Path) -> None:
    """Say on stderr that the file `path` was written."""
    click.echo(f"wrote {click.format_filename(path)}", err=True)


def make_folder(path: Path) -> None:
    """Make the folder `path` and its parents if they are missing; OSError if that fails.

    Run through sudo, a new one belongs to the user who ran sudo.
    """
    if not path.is_dir():
        path.mkdir(parents=True)
        _give_to_invoker(path)


def replace(path: Path, content: bytes) -> None:
    """Write `content` as the file `path` at once: whole, or (OSError) not at all.

    Run through sudo, the file belongs to the user who ran sudo.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the block succeeds, and is removed when it fails.

    `mode`: its permissions, less those that the umask takes.  If `path` exists and is not a regular file
    (/dev/null, a FIFO), the complete content is written into it: root would replace a device by a file.
    """
    if path.exists() and not path.is_file():
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with path.open("wb") as device:
                shutil.copyfileobj(file, device)
        return
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fchmod(file.fileno(), mode & ~_umask())
        _give_to_invoker(Path(beside))
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block succeeds, and is removed when it fails.

    Only its owner may use it: through sudo, the user who ran sudo.  Raises UsageError if `path` exists.
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists", "choose another name with -o")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", f"make it: mkdir -p {path.parent}")
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield beside
        for each in [beside, *beside.rglob("*")]:
            _give_to_invoker(each)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _give_to_invoker(path: Path) -> None:
    user = invoking_user()
    if user.differs:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
