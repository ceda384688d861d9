# SPDX-License-Identifier: Apache-2.0
"""The comparison of two recordings object by object (tests/imports/objects.py), by traces and their exports.

The numbers are those of the fixtures' workloads (fixtures/README.md).
"""

from __future__ import annotations

from pathlib import Path

import slabtrace
from slabtrace.commands.main import run
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording
from tests.imports.objects import LOSS, SILENT, Objects, objects
from tests.places import FIXTURES

FREE = "kfree: "


def exported(name: str, place: Path) -> list[str]:
    """The events of a fixture as lines of ftrace."""
    path = place / "trace.txt"
    assert run(["export", str(FIXTURES / f"{name}.slab"), "--to", "ftrace", "-o", str(path)]) == 0
    return path.read_text().splitlines(keepends=True)


def compared(name: str, place: Path, lines: list[str]) -> Objects:
    """A fixture beside what these lines make."""
    (place / "other.txt").write_text("".join(lines))
    import_recording([Source(place / "other.txt")], place / "other.slab", force=True)
    return objects(slabtrace.open(FIXTURES / f"{name}.slab"), slabtrace.open(place / "other.slab"), edge_ns=0)


def test_the_same_events_are_the_same_objects(tmp_path: Path) -> None:
    found = compared("slow-leak", tmp_path, exported("slow-leak", tmp_path))
    assert found.unexplained == 0
    assert len(found.own) == len(found.other) == 0


def test_what_has_no_tracepoint_is_explained(tmp_path: Path) -> None:
    found = compared("double-free", tmp_path, exported("double-free", tmp_path))
    assert found.differences()["WRONG_CACHE_FREE / outstanding", SILENT] == 5
    assert found.unexplained == 0


def test_a_free_that_is_missing_is_explained_only_by_a_loss(tmp_path: Path) -> None:
    lines = exported("slow-leak", tmp_path)
    missing = next(number for number in range(len(lines) - 100, len(lines)) if FREE in lines[number])
    rest = lines[:missing] + lines[missing + 1 :]
    assert compared("slow-leak", tmp_path, rest).unexplained == 1
    cpu = int(lines[missing].split("[")[1][:3])
    rest.insert(missing, f"CPU:{cpu} [LOST 1 EVENTS]\n")
    found = compared("slow-leak", tmp_path, rest)
    assert found.unexplained == 0
    assert sum(count for (_, why), count in found.differences().items() if why == LOSS) == 1


def test_an_object_in_one_recording_alone_is_not_explained(tmp_path: Path) -> None:
    lines = exported("slow-leak", tmp_path)
    alloc = next(number for number in range(100, len(lines)) if "kmalloc: " in lines[number])
    found = compared("slow-leak", tmp_path, lines[:alloc] + lines[alloc + 1 :])
    assert (len(found.own), found.unexplained) == (1, 1)
