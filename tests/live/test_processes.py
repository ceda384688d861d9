# SPDX-License-Identifier: Apache-2.0
"""Who ran: processes that are gone at once, with their command lines; a cgroup that is removed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from slabtrace.analysis.processes.processes import NOT_ENDED, Processes
from slabtrace.trace.format.schema import CgroupEvent
from slabtrace.trace.reading.reader import TraceReader
from tests.live.conftest import SLABTRACE, Recording, slabtrace_json, wait_for
from tests.live.messages import new_queue

SHORT = 53  # processes
NAME = f"slabtrace-{os.getpid()}.service"
# Moves itself into the cgroup, runs SHORT processes there one after the other, leaves it, and removes it.
SCRIPT = """
echo $$ >"$1/cgroup.procs" && mkdir "$1/inner"
i=0; while [ $i -lt "$2" ]; do i=$((i + 1)); /bin/cat "/dev/null" "$3-$i" 2>/dev/null; done
echo $$ >"$1/../cgroup.procs"; rmdir "$1/inner" "$1"
"""


@pytest.fixture
def cgroup(cgroup2: Path) -> Iterator[Path]:
    """A cgroup, which the script removes."""
    path = cgroup2 / NAME
    path.mkdir()
    yield path
    with suppress(OSError):
        path.rmdir()


def recorded(trace: Path, *command: str) -> tuple[Processes, TraceReader]:
    words = [*SLABTRACE, "record", "-q", "-o", str(trace), "--stacks", "none", "--", *command]
    subprocess.run(words, check=True, capture_output=True)
    reader = TraceReader(trace)
    return Processes(reader.table("processes"), reader.table("cgroups")), reader


def test_short_processes_in_a_cgroup_that_is_gone(tmp_path: Path, cgroup: Path) -> None:
    word = f"none-{os.getpid()}"
    found, reader = recorded(tmp_path / "t.slab", "sh", "-c", SCRIPT, "sh", str(cgroup), str(SHORT), word)
    states = [each for each in found.states if each.command.startswith(f"/bin/cat /dev/null {word}-")]
    assert sorted(each.command for each in states) == sorted(
        f"/bin/cat /dev/null {word}-{i}" for i in range(1, SHORT + 1)
    )
    assert {(each.exe, found.path(each).rpartition("/")[2]) for each in states} == {("/bin/cat", NAME)}
    assert all(found.ended_ns[each.number] != NOT_ENDED for each in states)
    (shell,) = {each.parent_number for each in states}
    parents = [each for each in found.states if each.number == shell]
    assert {each.tgid for each in parents} == {states[0].parent}
    assert any(word in each.command and each.command.startswith("sh -c ") for each in parents)
    rows = [each for each in reader.table("cgroups").to_pylist() if NAME in each["path"]]
    inner = [each["event"] for each in rows if each["path"].endswith("/inner")]
    assert inner == [CgroupEvent.MADE, CgroupEvent.GONE]
    assert CgroupEvent.GONE in {each["event"] for each in rows if each["path"].endswith(NAME)}


# A child that was there forks grandchildren, each of which leaves ten messages; so does a stranger.
FAMILY = """
read go; for i in 1 2 3 4 5 6 7; do ( exec "$1" -c "$2" "$3" 10 ); done; exec cat
"""


def test_follow_takes_the_descendants(start_recording: Callable[..., Recording]) -> None:
    send = "import sys; from tests.live.messages import send; send(int(sys.argv[1]), int(sys.argv[2]))"
    with new_queue() as queue:
        shell = ["sh", "-c", f"sh -c '{FAMILY}' sh \"$@\"; true", "sh", sys.executable, send, str(queue)]
        with subprocess.Popen(shell, stdin=subprocess.PIPE, text=True) as family:
            assert family.stdin is not None
            recording = start_recording("--pid", str(family.pid), "--follow", "--cache", "*msg*")
            wait_for(
                lambda: (
                    (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached
                )
            )
            family.stdin.write("go\n")
            family.stdin.flush()
            subprocess.run([sys.executable, "-c", send, str(queue), "31"], check=True)
            family.stdin.close()
        recording.wait_events(70)
        assert recording.end()[0] == 0
    rows = slabtrace_json("who", str(recording.trace), "--by", "process")["who"]
    assert [row["outstanding"] for row in rows] == [10] * 7
    assert len({row["name"] for row in rows}) == 7


def test_processes_that_were_there(tmp_path: Path) -> None:
    found, _ = recorded(tmp_path / "t.slab", "true")
    (me,) = {each.number for each in found.states if each.tgid == os.getpid()}
    state = next(each for each in found.states if each.number == me)
    assert (state.parent, state.exe) == (os.getppid(), str(Path("/proc/self/exe").readlink()))
    assert state.net_ns == Path("/proc/self/ns/net").stat().st_ino
    assert state.pid_ns == Path("/proc/self/ns/pid").stat().st_ino
    assert found.ended_ns[me] == NOT_ENDED
    assert any("slabtrace record -q" in each.command for each in found.states if each.parent_number == me)


@pytest.mark.parametrize("word", ["x" * 5000, "\x1b[2J\n\t'\"", "\xff\xfe"])
def test_a_command_line_that_is_long_or_hostile(tmp_path: Path, word: str) -> None:
    raw = word.encode("latin-1")
    found, _ = recorded(
        tmp_path / "t.slab", "sh", "-c", 'exec /bin/cat /dev/null "$0" 2>/dev/null', os.fsdecode(raw)
    )
    (state,) = [each for each in found.states if each.command.startswith("/bin/cat /dev/null ")][-1:]
    assert len(state.command) < 600
    assert state.command.endswith("…") == (len(raw) > 480)
