# SPDX-License-Identifier: Apache-2.0
"""--cgroup: exactly what tasks in the wanted cgroups leave is recorded, whenever these cgroups were made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.process.running import hierarchies
from slabtrace.capture.programs import cgroup_filter
from slabtrace.capture.session import Session
from slabtrace.errors import UsageError
from slabtrace.trace.format.schema import FREE_BIT
from tests.live.conftest import Recording, slabtrace_json, wait_for
from tests.live.messages import new_queue
from tests.live.test_exact_counts import cache_of_a_message

NAME = f"slabtrace-{os.getpid()}"
GLOB = f"/{NAME}-w[a-m]nted*"
LEFT = {f"{NAME}-wanted-1": 31, f"{NAME}-wanted-2": 37, f"{NAME}-wanted-1/inner": 41, f"{NAME}-other": 43}
WANTED = sum(left for name, left in LEFT.items() if "wanted" in name)
BYTES = 112  # of a message, with its struct msg_msg
# Moves itself into the cgroup, and leaves messages.
SEND = """
import sys; from pathlib import Path; from tests.live.messages import send
Path(sys.argv[1], "cgroup.procs").write_text("0"); send(int(sys.argv[2]), int(sys.argv[3]))
"""
Start = Callable[..., Recording]


@pytest.fixture(params=["cgroup2", "memory"])
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where cgroups are made: in cgroup2, and in the hierarchy of version 1 that counts."""
    if request.param == "cgroup2":
        place: Path = request.getfixturevalue("cgroup2")
    else:
        mounted = [each.mount for each in hierarchies() if "memory" in each.controllers.split(",")]
        if not mounted:
            pytest.skip("this machine has memory in cgroup2")
        place = mounted[0]
    yield place
    for name in sorted(LEFT, reverse=True):
        with suppress(OSError):
            (place / name).rmdir()


def began(recording: Recording) -> Any:
    return (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached


def leave_messages(root: Path, queue: int) -> dict[str, int]:
    """One process for each cgroup, which is made now if it is not there; gives their pids."""
    pids = {}
    for name, left in LEFT.items():
        (root / name).mkdir(exist_ok=True)
        argv = [sys.executable, "-c", SEND, str(root / name), str(queue), str(left)]
        with subprocess.Popen(argv) as process:
            pids[name] = process.pid
        assert process.returncode == 0
    return pids


def record(start_recording: Start, root: Path, *options: str) -> tuple[Path, dict[str, int]]:
    """The trace, and the pid that left messages in each cgroup; the cgroups are gone before it ends."""
    (root / next(iter(LEFT))).mkdir()
    with new_queue() as queue:
        recording = start_recording("--cache", cache_of_a_message(), *options)
        wait_for(lambda: began(recording))
        pids = leave_messages(root, queue)
        for name in sorted(LEFT, reverse=True):
            wait_for(lambda: not (root / name / "cgroup.procs").read_text())  # noqa: B023
            (root / name).rmdir()
        recording.wait_events(WANTED)
        assert recording.end()[0] == 0
    return recording.trace, pids


def messages_by_pid(trace: Path) -> Counter[int]:
    columns = ["kind", "bytes_req", "tgid"]
    rows = [row for batch in slabtrace.open(trace).events(columns) for row in batch.to_pylist()]
    return Counter(row["tgid"] for row in rows if row["bytes_req"] == BYTES and not row["kind"] & FREE_BIT)


def test_only_what_tasks_in_wanted_cgroups_allocate_is_recorded(start_recording: Start, root: Path) -> None:
    trace, pids = record(start_recording, root, "--cgroup", GLOB)
    assert messages_by_pid(trace) == {pids[name]: left for name, left in LEFT.items() if "wanted" in name}
    events = [row for batch in slabtrace.open(trace).events(["tgid", "kind"]) for row in batch.to_pylist()]
    allocated = {row["tgid"] for row in events if not row["kind"] & FREE_BIT}
    assert allocated == {pid for name, pid in pids.items() if "wanted" in name}
    content = slabtrace_json("leaks", str(trace))
    assert f"--cgroup '{GLOB}'" in content["completeness"]["verdict"]
    assert content["completeness"]["cgroups_unjudged"] == 0


def test_reading_finds_the_same_in_a_recording_of_everything(start_recording: Start, root: Path) -> None:
    trace, pids = record(start_recording, root)
    counts = messages_by_pid(trace)
    assert {pid: counts[pid] for pid in pids.values()} == {pids[name]: left for name, left in LEFT.items()}
    rows = slabtrace_json("who", str(trace), "--by", "process", "--cgroup", GLOB)["who"]
    found = {int(row["name"]): row["outstanding"] for row in rows}
    assert found == {pids[name]: left for name, left in LEFT.items() if "wanted" in name}
    groups = slabtrace_json("leaks", str(trace), "--cgroup", GLOB)["groups"]
    assert sum(group["outstanding"] for group in groups) == WANTED
    inner = slabtrace_json("leaks", str(trace), "--cgroup", "*/inner")["groups"]
    assert sum(group["outstanding"] for group in inner) == LEFT[f"{NAME}-wanted-1/inner"]


@pytest.fixture
def deep(root: Path) -> Iterator[list[Path]]:
    """Cgroups that are not made yet, one in the other, with paths of up to 1,400 characters."""
    parts = [
        f"{NAME}-{'x' * 200}",
        *("y" * 200 for _ in range(3)),
        "end",
        *("z" * 200 for _ in range(3)),
        "end",
    ]
    folders = [root.joinpath(*parts[: at + 1]) for at in range(len(parts))]
    yield folders
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def test_a_new_cgroup_with_a_long_path(start_recording: Start, deep: list[Path]) -> None:
    """The programs judge all of a path that the kernel's tracepoint has."""
    with new_queue() as queue:
        recording = start_recording("--cache", cache_of_a_message(), "--cgroup", f"/{NAME}*/end")
        wait_for(lambda: began(recording))
        for folder in deep[:5]:
            folder.mkdir()
        for folder, left in ((deep[4], 83), (deep[3], 89)):
            subprocess.run([sys.executable, "-c", SEND, str(folder), str(queue), str(left)], check=True)
        recording.wait_events(83)
        assert recording.end()[0] == 0
    assert list(messages_by_pid(recording.trace).values()) == [83]
    assert recording.manifest().totals.cgroups_unjudged == 0


@pytest.fixture
def session() -> Iterator[Callable[[str], Session]]:
    """Programs that are attached, with --cgroup; closed after the test."""
    made: list[Session] = []

    def start(glob: str) -> Session:
        made.append(Session(CaptureOptions(cgroup=glob, buffer_mib=1, stacks="none")))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_path_that_the_tracepoint_cuts_is_counted(
    session: Callable[[str], Session], deep: list[Path]
) -> None:
    """Below a wanted cgroup the path does not matter."""
    cut, inside = session(f"/{NAME}*/zzz*/end"), session(f"/{NAME}*/end")
    assert cut.cgroups and inside.cgroups
    for folder in deep:
        folder.mkdir()
    too_long = sum(len(str(each).removeprefix(str(deep[0].parent))) >= 1023 for each in deep)
    assert too_long > 0
    assert (cut.cgroups.unjudged, inside.cgroups.unjudged) == (too_long, 0)


def test_more_cgroups_than_there_is_room_for(
    session: Callable[[str], Session], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup_filter, "MOST", 4)
    names = [f"{NAME}-wanted-1/{at}" for at in range(6)]
    try:
        (root / next(iter(LEFT))).mkdir()
        filled = session(GLOB)
        for name in names:
            (root / name).mkdir()
        assert filled.cgroups and filled.cgroups.unjudged == 3
        with pytest.raises(UsageError, match=r"--cgroup matches 7 cgroups, and the kernel has room for 4"):
            session(GLOB)
        for name in names:
            (root / name).rmdir()
        (root / names[0]).mkdir()
        assert filled.cgroups.unjudged == 3, "what is removed makes room"
    finally:
        for name in names:
            with suppress(OSError):
                (root / name).rmdir()
