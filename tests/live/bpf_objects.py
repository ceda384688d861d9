# SPDX-License-Identifier: Apache-2.0
"""Which BPF programs, maps and links the kernel has, and which of them a process holds."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterable
from pathlib import Path

from slabtrace.capture.programs import bpf_syscall

# BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID
_NEXT_ID = {"prog": 11, "map": 12, "link": 31}
_HELD = re.compile(r"^(prog|map|link)_id:\s*(\d+)$", re.M)

Object = tuple[str, int]


def loaded(kinds: Iterable[str] = tuple(_NEXT_ID)) -> set[Object]:
    """Kind and id of everything of these kinds in the kernel."""
    return {(kind, number) for kind in kinds for number in _ids(_NEXT_ID[kind])}


def _ids(command: int) -> set[int]:
    ids, last = set(), 0
    while True:
        try:
            raw = bpf_syscall._bpf(command, struct.pack("=III", last, 0, 0))
        except FileNotFoundError:
            return ids
        last = struct.unpack_from("=III", raw)[1]
        ids.add(last)


def held(process: str = "[0-9]*") -> set[Object]:
    """What this process, or any, holds by a file descriptor; a link holds its program, too."""
    found: set[Object] = set()
    for info in Path("/proc").glob(f"{process}/fdinfo/*"):
        with contextlib.suppress(OSError):
            found |= {(kind, int(number)) for kind, number in _HELD.findall(info.read_text())}
    return found
