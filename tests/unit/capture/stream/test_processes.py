# SPDX-License-Identifier: Apache-2.0
"""Slots of what processes and cgroups do become rows, wherever a batch ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slabtrace.capture.process.running import MOST_BYTES
from slabtrace.capture.programs.layout import header_numbers, struct_dtype
from slabtrace.capture.stream.intake import Intake
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.processes import CUT, ProcessSlots, command_line
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.format.schema import CGROUPS, PROCESSES, CgroupEvent, ProcessEvent

NUMBERS = header_numbers("event.h")
EVENT, TEXT = struct_dtype("event.h", "process_event"), struct_dtype("event.h", "text_event")


def event(kind: str, ts_ns: int, tgid: int, **fields: int) -> Rows:
    slot = np.zeros(1, EVENT)
    for name, value in (fields | {"ts_ns": ts_ns, "tgid": tgid, "tid": tgid, "kind": NUMBERS[kind]}).items():
        slot[name] = value
    return slot.view(np.uint64).reshape(1, -1)


def text(what: str, ts_ns: int, tid: int, content: bytes, width: int = 40) -> list[Rows]:
    slots = []
    for part, at in enumerate(range(0, len(content), width)):
        slot, piece = np.zeros(1, TEXT), content[at : at + width]
        slot["ts_ns"], slot["tid"], slot["tgid"], slot["part"] = ts_ns, tid, tid, part
        slot["what"], slot["kind"], slot["length"] = (
            NUMBERS[f"SLAB_TEXT_{what}"],
            NUMBERS["SLAB_TEXT"],
            len(piece),
        )
        slot["text"][0, : len(piece)] = np.frombuffer(piece, np.uint8)
        slots.append(slot.view(np.uint64).reshape(1, -1))
    return slots


ARGS = b"ls\0-l\0/a file with a long name\0" + b"x" * 70 + b"\0"
EXEC = [
    event("SLAB_PROCESS_EXEC", 100, 7, parent=3, pid_ns=11, net_ns=12, cgroup=91),
    *text("EXE", 100, 7, b"/usr/bin/" + b"d" * 60 + b"/ls", 39),
    *text("ARGS", 100, 7, ARGS),
]


def test_structs_fill_a_slot() -> None:
    assert EVENT.itemsize == TEXT.itemsize == 64


@pytest.mark.parametrize("cut", range(len(EXEC) + 1))
def test_an_exec_with_its_texts_wherever_a_batch_ends(cut: int) -> None:
    slots = ProcessSlots()
    found: dict[str, list[Any]] = {name: [] for name in PROCESSES.names}
    for some, last in ((EXEC[:cut], False), (EXEC[cut:], False), ([], False), ([], True)):
        for name, values in slots.take(some, last)[0].items():
            found[name] += values
    assert found == {
        "ts_ns": [100], "event": [ProcessEvent.EXEC], "tgid": [7], "parent": [3], "pid_ns": [11],
        "net_ns": [12], "hierarchy": [0], "cgroup": [91], "exe": ["/usr/bin/" + "d" * 60 + "/ls"],
        "command": ["ls -l '/a file with a long name' " + "x" * 70],
    }  # fmt: skip


def test_cgroups_that_are_made_removed_or_moved_to() -> None:
    made = event("SLAB_CGROUP_MADE", 5, 7, hierarchy=4, cgroup=91)
    moved = event("SLAB_PROCESS_MOVED", 6, 8, hierarchy=4, cgroup=91)
    gone = event("SLAB_CGROUP_GONE", 7, 7, hierarchy=4, cgroup=91)
    path = [each for at in (5, 6, 7) for each in text("PATH", at, 8 if at == 6 else 7, b"/a.service", 39)]
    processes, cgroups = ProcessSlots().take([made, moved, gone, *path], last=True)
    assert set(cgroups) == set(CGROUPS.names)
    assert (processes["event"], processes["tgid"]) == ([ProcessEvent.MOVED], [8])
    assert (processes["hierarchy"], processes["cgroup"]) == ([4], [91])
    assert cgroups["event"] == [CgroupEvent.MADE, CgroupEvent.SEEN, CgroupEvent.GONE]
    assert cgroups["path"] == ["/a.service"] * 3 and cgroups["cgroup"] == [91] * 3


def test_a_part_that_was_lost_leaves_the_others() -> None:
    slots = [each for at, each in enumerate(EXEC) if at != 2]
    (exe,) = ProcessSlots().take(slots, last=True)[0]["exe"]
    assert exe == ("/usr/bin/" + "d" * 60)[:39]


def test_a_command_line_that_goes_on_says_so() -> None:
    assert command_line(b"cat\0" + b"y" * MOST_BYTES).endswith("y" + CUT)
    assert command_line(b"") == ""
    assert command_line(b"a\0\0b\0") == "a '' b"
    assert command_line(b"\xff\x1b[2J\0") == "'\\xff\x1b[2J'"


def test_no_text_passes_for_a_slab_event() -> None:
    """A user chooses the words of a command line, so he could choose those of a site that is known."""
    intake = Intake(SiteTable())
    slab = np.zeros(1, EVENT)
    slab["kind"], slab["cgroup"] = NUMBERS["SLAB_KMALLOC"], 4096
    intake.accept(slab.view(np.uint64).reshape(1, -1), cpu=0)
    intake.accept(np.concatenate(EXEC), cpu=0)
    assert intake.take().size == 1
    assert len(np.concatenate(intake.take_others().processes)) == len(EXEC)
