# SPDX-License-Identifier: Apache-2.0
"""Which format a file is of, and its content as blocks of text.

Files are hostile: only plain files are opened, and a line without an end cannot fill the memory.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from slabtrace.errors import TraceError, UsageError

BLOCK = 4 << 20  # bytes read at a time
LONGEST_REST = 1 << 20  # bytes carried from block to block; of a longer line the end is cut off
FORMATS = ("ftrace", "trace-cmd", "perf", "ctf")
PERF_MAGIC = (b"PERFILE2", b"2ELIFREP")
TRACE_CMD_MAGIC = b"\x17\x08Dtracing"
_CTF_LINE = re.compile(rb"^\[[0-9:. ]+\] (?:\(\+[0-9.?]+\) )?.{0,200}\{ cpu_id = \d+ \}", re.MULTILINE)
_PERF_TEXT = re.compile(rb"\skmem:(?:k|mm_)\w+:|PERF_RECORD_")
_TRACE_CMD_TEXT = re.compile(rb"^cpus=\d+\s*$|^version = \d|\w:  +(?:\(\S+\) )?call_site=", re.MULTILINE)
_FTRACE_TEXT = re.compile(rb"^# tracer:|\bcall_site=|\[\d{3}\] .*\d+\.\d{6}: ", re.MULTILINE)
STATS = re.compile(rb"^entries: \d+\noverrun: \d+\ncommit overrun: \d+\n", re.MULTILINE)


class Readable(Protocol):
    """A file, or what a program prints."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer at the end, none behind it."""


class Source:
    """A file or folder to import.  `kind`: one of FORMATS.  `binary`: a program has to read it.

    Raises UsageError if it is missing, TraceError if it is of no known format.
    """

    def __init__(self, path: Path, asked: str | None = None) -> None:
        self.path = path
        self.stats = False
        if path.is_dir() and _is_perf_folder(path):
            self.kind, self.binary = "perf", True
            return
        if path.is_dir():
            self.kind, self.binary = "ctf", True
            _check_ctf(path)
            return
        head = _head(path)
        self.kind, self.binary = _recognised(path, head, asked)
        self.stats = not self.binary and STATS.search(head) is not None

    @property
    def size(self) -> int:
        """Bytes of a plain file; 0 of others."""
        return self.path.stat().st_size if self.path.is_file() else 0


def blocks(file: Readable, progress: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """Pieces of a text as they are read; `progress` is called with the length of each."""
    while piece := file.read(BLOCK):
        if progress is not None:
            progress(len(piece))
        yield piece


def opened(path: Path) -> IO[bytes]:
    """A plain file.  Raises UsageError if there is none, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a file", "save a pipe's content to a file first")
    return os.fdopen(descriptor, "rb", buffering=0)


def _head(path: Path) -> bytes:
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    with opened(path) as file:
        return file.read(64 << 10)


def _is_perf_folder(path: Path) -> bool:
    """Whether it is of `perf record --kcore` or `--threads`."""
    data = path / "data"
    return data.is_file() and _head(data).startswith(PERF_MAGIC)


def _check_ctf(path: Path) -> None:
    if not any(path.rglob("metadata")):
        raise TraceError(f"{path} has no CTF trace: no file called metadata is in it")


def _recognised(path: Path, head: bytes, asked: str | None) -> tuple[str, bool]:
    if head.startswith(PERF_MAGIC):
        return "perf", True
    if head.startswith(TRACE_CMD_MAGIC):
        return "trace-cmd", True
    if not head:
        raise TraceError(f"{path} is empty")
    if asked is not None:
        return asked, False
    for kind, pattern in (
        ("ctf", _CTF_LINE), ("perf", _PERF_TEXT), ("trace-cmd", _TRACE_CMD_TEXT), ("ftrace", _FTRACE_TEXT),
    ):  # fmt: skip
        if pattern.search(head):
            return kind, False
    if STATS.search(head):
        return "ftrace", False
    raise TraceError(
        f"{path} is no recording that slabtrace knows",
        "It reads perf.data, trace.dat, LTTng's CTF, and text of ftrace, trace-cmd, perf script (--from).",
    )
