# SPDX-License-Identifier: Apache-2.0
"""What processes and cgroups do: slots of bpf/process.h become rows of processes.arrow and cgroups.arrow.

The texts of an event follow it in the same lane, in parts, and a batch may end in between.  So the rows of a
batch are made when the next one is there, which has the rest.

Example: a process executes a file.  SLAB_PROCESS_EXEC (tid 7, ts 100), SLAB_TEXT (EXE, part 0, "/bin/ls"),
SLAB_TEXT (ARGS, part 0, "ls\\0-l\\0") become one row: EXEC, tgid 7, "/bin/ls", "ls -l".
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from slabtrace.capture.process.running import MOST_BYTES
from slabtrace.capture.programs.layout import header_numbers, struct_dtype
from slabtrace.capture.stream.lanes import Rows
from slabtrace.trace.format.schema import CgroupEvent, ProcessEvent

_EVENT, _TEXT = struct_dtype("event.h", "process_event"), struct_dtype("event.h", "text_event")
_NUMBERS = header_numbers("event.h")
_IS_TEXT = _NUMBERS["SLAB_TEXT"]
_OF_PROCESS = {
    _NUMBERS[f"SLAB_PROCESS_{each.name}"]: each for each in ProcessEvent if each != ProcessEvent.RUNNING
}
_OF_CGROUP = {_NUMBERS[f"SLAB_CGROUP_{each.name}"]: each for each in CgroupEvent if each != CgroupEvent.SEEN}
_EXE, _ARGS, _PATH = (_NUMBERS[f"SLAB_TEXT_{name}"] for name in ("EXE", "ARGS", "PATH"))
CUT = "…"  # at the end of a command line that goes on

Columns = dict[str, list[Any]]
Texts = dict[tuple[int, int, int], bytes]  # by tid, time and kind


class ProcessSlots:
    """Takes slots batch by batch, and gives the rows of the batch before."""

    def __init__(self) -> None:
        self._waiting = np.empty((0, _EVENT.itemsize // 8), np.uint64)

    def take(self, slots: Sequence[Rows], last: bool = False) -> tuple[Columns, Columns]:
        """(columns of processes.arrow, columns of cgroups.arrow); `last`: also of these slots themselves."""
        new = np.concatenate([self._waiting[:0], *slots])
        rest = new if last else new[_kinds(new) == _IS_TEXT]
        found = np.concatenate([self._waiting, rest])
        self._waiting = new[:0] if last else new
        texts = _texts(found)
        return _processes(found, texts), _cgroups(found, texts)


def command_line(args: bytes) -> str:
    """The arguments, each with a 0 byte at its end, as a shell would take them.  Hostile text: escape it."""
    cut = len(args) >= MOST_BYTES
    words = args.removesuffix(b"\0").split(b"\0") if args else []
    line = shlex.join(word.decode(errors="backslashreplace") for word in words)
    return line + CUT if cut else line


def _kinds(rows: Rows) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(rows).view(_EVENT).reshape(-1)["kind"]


def _texts(rows: Rows) -> Texts:
    """The texts, whole as far as their parts are there."""
    slots = rows[_kinds(rows) == _IS_TEXT].view(_TEXT).reshape(-1)
    names = ("tid", "ts_ns", "what", "part", "length")
    columns = [slots[name].tolist() for name in names]
    parts: dict[tuple[int, int, int], dict[int, bytes]] = {}
    for tid, ts_ns, what, part, length, raw in zip(*columns, slots["text"], strict=True):
        parts.setdefault((tid, ts_ns, what), {})[part] = raw[: max(length, 0)].tobytes()
    return {key: b"".join(each[part] for part in sorted(each)) for key, each in parts.items()}


def _processes(rows: Rows, texts: Texts) -> Columns:
    slots = rows[np.isin(_kinds(rows), list(_OF_PROCESS))].view(_EVENT).reshape(-1)
    names = ("ts_ns", "tgid", "parent", "pid_ns", "net_ns", "hierarchy", "cgroup")
    columns: Columns = {name: slots[name].tolist() for name in names}
    columns["event"] = [_OF_PROCESS[kind] for kind in slots["kind"].tolist()]
    keys = list(zip(slots["tid"].tolist(), columns["ts_ns"], strict=True))
    columns["exe"] = [_decoded(texts.get((*key, _EXE), b"")) for key in keys]
    columns["command"] = [command_line(texts.get((*key, _ARGS), b"")) for key in keys]
    return columns


def _cgroups(rows: Rows, texts: Texts) -> Columns:
    """Those that were made or removed, and those to which somebody was moved."""
    kinds = {**_OF_CGROUP, _NUMBERS["SLAB_PROCESS_MOVED"]: CgroupEvent.SEEN}
    slots = rows[np.isin(_kinds(rows), list(kinds))].view(_EVENT).reshape(-1)
    columns: Columns = {name: slots[name].tolist() for name in ("ts_ns", "hierarchy", "cgroup")}
    columns["event"] = [kinds[kind] for kind in slots["kind"].tolist()]
    keys = zip(slots["tid"].tolist(), columns["ts_ns"], strict=True)
    columns["path"] = [_decoded(texts.get((*key, _PATH), b"")) for key in keys]
    columns["controllers"] = [""] * len(slots)
    return columns


def _decoded(text: bytes) -> str:
    return text.decode(errors="backslashreplace")
