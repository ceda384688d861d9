# SPDX-License-Identifier: Apache-2.0
"""A recorder inside of what containers are made of: a PID namespace, a limit of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import slabtrace
from slabtrace.capture.process.running import hierarchies
from slabtrace.trace.manifest import load as load_manifest
from tests.live.conftest import PATIENCE_S, SLABTRACE, wait_for
from tests.live.messages import new_queue, send
from tests.live.test_exact_counts import cache_of_a_message

pytestmark = pytest.mark.live

INSIDE, OUTSIDE, BEFORE = 31, 37, 41  # messages left by COMMAND, by this test, by a process that began before
LIMIT = 300 << 20
# Leaves messages; then waits until a file is there.
SEND = """
import sys, time; from pathlib import Path; from tests.live.messages import send
send(int(sys.argv[1]), int(sys.argv[2]))
while not Path(sys.argv[3]).exists(): time.sleep(0.05)
"""
# As SEND, once the first file is there; and says its number in this namespace.
LATER = """
import os, sys, time; from pathlib import Path; from tests.live.messages import send
Path(sys.argv[4]).write_text(str(os.getpid()))
while not Path(sys.argv[3]).exists(): time.sleep(0.05)
send(int(sys.argv[1]), int(sys.argv[2]))
while not Path(sys.argv[3] + ".end").exists(): time.sleep(0.05)
"""
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")


@pytest.fixture
def queue() -> Iterator[int]:
    with new_queue() as number:
        yield number


def left(trace: Path, pid: Collection[int] = (), comm: Collection[str] = ()) -> int:
    """Outstanding messages, of these processes and names, or of all."""
    frame = slabtrace.open(trace).outstanding("call_site", pid=pid, comm=comm)
    rows = zip(frame["symbol"], frame["outstanding"], strict=True)
    return sum(number for symbol, number in rows if symbol.startswith(("load_msg+", "alloc_msg+")))


def began(trace: Path) -> bool:
    return (trace / "manifest.json").exists() and bool(load_manifest(trace).coverage.attached)


def test_names_and_numbers_are_right_in_a_pid_namespace(queue: int, tmp_path: Path) -> None:
    trace, ready = tmp_path / "t.slab", tmp_path / "ready"
    command = [sys.executable, "-c", SEND, str(queue), str(INSIDE), str(ready)]
    record = [*NAMESPACE, *SLABTRACE, "record", "-o", str(trace), "--stacks", "none", "--", *command]
    with subprocess.Popen(record, stderr=subprocess.PIPE, text=True) as recording:
        wait_for(lambda: began(trace))
        send(queue, OUTSIDE)
        ready.touch()
        _, stderr = recording.communicate(timeout=PATIENCE_S)
    assert recording.returncode == 0, stderr
    manifest = load_manifest(trace)
    assert manifest.command is not None
    assert left(trace, pid=[manifest.command.pid]) == INSIDE
    assert left(trace, pid=[os.getpid()]) == OUTSIDE
    assert left(trace, pid=[os.getpid()], comm=[Path("/proc/self/comm").read_text().strip()]) == OUTSIDE
    own = slabtrace.open(trace).outstanding("call_site", pid=[manifest.recorder.pid])
    assert own["outstanding"].sum() > 0  # the recorder's own objects are known as such


def test_a_pid_of_the_namespace_is_understood(queue: int, tmp_path: Path) -> None:
    trace, ready, number = (tmp_path / name for name in ("t.slab", "ready", "number"))
    script = (
        '"$1" -c "$2" "$3" "$4" "$5" "$6" & until test -s "$6"; do sleep 0.05; done; '
        'shift 6; "$@" --pid "$(cat "$0")"; status=$?; touch "$0.over"; wait; exit $status'
    )
    later = [sys.executable, LATER, str(queue), str(BEFORE), str(ready), str(number)]
    record = [*SLABTRACE, "record", "-o", str(trace), "--stacks", "none", "-d", "4s"]
    argv = [*NAMESPACE, "sh", "-c", script, str(number), *later, *record]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as recording:
        wait_for(lambda: began(trace) or recording.poll() is not None)
        send(queue, OUTSIDE)
        ready.touch()
        wait_for(lambda: Path(f"{number}.over").exists())
        Path(f"{ready}.end").touch()
        _, stderr = recording.communicate(timeout=PATIENCE_S)
    assert recording.returncode == 0, stderr
    assert int(number.read_text()) < 100  # of the namespace
    assert left(trace) == BEFORE


def test_a_pid_that_is_not_in_the_namespace_is_refused(tmp_path: Path) -> None:
    argv = [*NAMESPACE, *SLABTRACE, "record", "-o", str(tmp_path / "t.slab"), "-d", "1s", "--pid", "4000000"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "no process 4000000 can be found in this PID namespace" in done.stderr
    assert not (tmp_path / "t.slab").exists()


@pytest.fixture
def limited(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A memory cgroup that may use LIMIT bytes."""
    memory = [each for each in hierarchies() if "memory" in each.controllers.split(",")]
    mount = memory[0].mount if memory else request.getfixturevalue("cgroup2")
    folder: Path = mount / f"slabtrace-limited-{os.getpid()}"
    folder.mkdir()
    (folder / ("memory.limit_in_bytes" if memory else "memory.max")).write_text(str(LIMIT))
    yield folder
    with suppress(OSError):
        folder.rmdir()


def in_cgroup(folder: Path) -> list[str]:
    """The beginning of a command that is to run in a cgroup."""
    return ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(folder)]


@pytest.mark.parametrize("options", [[], ["--mode", "survivors"]], ids=["events", "survivors"])
def test_in_300_mb_the_default_recording_is_exact(
    limited: Path, queue: int, tmp_path: Path, options: list[str]
) -> None:
    trace, ready = tmp_path / "t.slab", tmp_path / "ready"
    ready.touch()
    command = [sys.executable, "-c", SEND, str(queue), str(INSIDE), str(ready)]
    argv = [*in_cgroup(limited), *SLABTRACE, "record", "-o", str(trace), *options, "--", *command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(trace)
    assert manifest.command is not None and left(trace, pid=[manifest.command.pid]) == INSIDE
    assert 0 < manifest.options["map_bytes"] <= LIMIT // 4
    assert manifest.totals.dropped == 0
    frame = slabtrace.open(trace).outstanding("cache", pid=[manifest.command.pid]).set_index("cache")
    assert frame.loc[cache_of_a_message(), "outstanding"] >= INSIDE


def test_a_buffer_beyond_the_limit_is_refused_in_words(limited: Path, tmp_path: Path) -> None:
    record = [*SLABTRACE, "record", "-o", str(tmp_path / "t.slab"), "-d", "1s", "--buffer", "512"]
    done = subprocess.run([*in_cgroup(limited), *record], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "--buffer 512 is not possible" in done.stderr and "this cgroup may use" in done.stderr
    assert not (tmp_path / "t.slab").exists()
