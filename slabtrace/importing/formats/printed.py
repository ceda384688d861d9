# SPDX-License-Identifier: Apache-2.0
"""What a program prints while it runs: a damaged recording can make it compute, or print, without an end."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

from slabtrace.errors import TraceError

SILENT_S = 120.0  # of CPU time without a byte printed: babeltrace2 was seen to hang on damaged metadata
MOST_PER_BYTE = 2000  # bytes printed for each that was recorded: compressed, with stacks, it is some hundred
MOST_OF_ALL = 1 << 28  # that many are always right
_STAT_USER, _STAT_SYSTEM = 11, 12  # of /proc/PID/stat, behind the name (proc(5))


class Printed:
    """The output of `process`, which reads the file or folder `what`; it is read like a file.

    `read` raises TraceError if the process computes for SILENT_S without printing, or prints far more than
    `what` can hold; OSError.
    """

    def __init__(self, process: subprocess.Popen[bytes], what: Path) -> None:
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        self._process, self._what = process, what
        self._pipe = process.stdout.fileno()
        self._left = MOST_OF_ALL + MOST_PER_BYTE * _size(what)

    def read(self, size: int = 1 << 20) -> bytes:
        """The next `size` bytes; fewer at the end."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self._next(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _next(self, size: int) -> bytes:
        began_s = None
        while not select.select([self._pipe], [], [], 1.0)[0]:
            used_s = _cpu_s(self._process.pid)
            began_s = used_s if began_s is None else began_s
            if used_s - began_s > SILENT_S:
                raise TraceError(f"{self._what} cannot be read: {self._program} computes without an end")
        piece = os.read(self._pipe, size)
        self._left -= len(piece)
        if self._left < 0:
            raise TraceError(f"{self._what} cannot be read: {self._program} prints without an end")
        return piece

    @property
    def _program(self) -> str:
        arguments = self._process.args
        return Path(str(arguments[0])).name if isinstance(arguments, list | tuple) else "the program"


def _size(what: Path) -> int:
    if not what.is_dir():
        return what.stat().st_size
    return sum(each.lstat().st_size for each in what.rglob("*"))


def _cpu_s(pid: int) -> float:
    """The CPU time that a process has used; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_STAT_USER]) + int(fields[_STAT_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
