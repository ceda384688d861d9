# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a recorder, what it flushed is readable and the kernel is clean."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.trace.manifest import COMPLETE, RECORDING
from tests.live.conftest import PATIENCE_S, SLABTRACE, Recording, wait_for
from tests.live.ordinary_user import as_nobody

Start = Callable[..., Recording]


def stored_events(trace: Path) -> int:
    """Events in the files, whatever the manifest says."""
    return count_events(slabtrace.open(trace))


def count_events(trace: Trace) -> int:
    return sum(batch.num_rows for batch in trace.events(["ts_ns"]))


@pytest.fixture
def hangup_is_not_ignored() -> Iterator[None]:
    """As nohup makes it: a recorder that inherits that goes on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_is_not_ignored")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_recording_in_good_order(start_recording: Start, number: int) -> None:
    recording = start_recording()
    recording.wait_events(100)
    status, stderr = recording.end(number)
    assert status == 0, stderr
    assert recording.manifest().status == COMPLETE
    assert stored_events(recording.trace) == recording.manifest().totals.events


def test_sigkill_under_load_loses_nothing_that_was_flushed(
    start_recording: Start, load: Callable[[], object]
) -> None:
    recording = start_recording()
    load()
    recording.wait_events(1_000_000)
    recording.end(signal.SIGKILL)
    manifest = recording.manifest()
    assert manifest.status == RECORDING
    trace = slabtrace.open(recording.trace)
    assert count_events(trace) >= manifest.totals.events >= 1_000_000
    assert any("not closed" in line for line in trace.damage)


def test_flushed_at_least_once_a_second(start_recording: Start, load: Callable[[], object]) -> None:
    recording = start_recording()
    load()
    recording.wait_events(1)
    killed_ns = time.monotonic_ns()
    recording.end(signal.SIGKILL)
    last_ns = max(batch["ts_ns"][-1].as_py() for batch in slabtrace.open(recording.trace).events())
    assert killed_ns - last_ns < 1_000_000_000


def test_a_stopped_consumer_counts_what_it_drops(start_recording: Start, load: Callable[[], object]) -> None:
    recording = start_recording("--buffer", "1")
    load()
    recording.wait_events(100_000)
    recording.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # the fault itself: half a second without a consumer
    recording.process.send_signal(signal.SIGCONT)
    before = recording.manifest().totals.events
    recording.wait_events(before + 100_000)  # it goes on
    status, stderr = recording.end()
    assert status == 0, stderr
    totals = recording.manifest().totals
    assert totals.dropped > 0
    assert "dropped" in stderr and " 0 dropped" not in stderr
    losses = slabtrace.open(recording.trace).completeness()
    assert losses.dropped == totals.dropped
    assert not losses.exact


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_the_recording_and_keeps_it(
    start_recording: Start, load: Callable[[], object], small_disk: Path
) -> None:
    recording = start_recording(trace=small_disk / "t.slab")
    load()
    status = recording.process.wait(PATIENCE_S)
    assert recording.process.stderr is not None
    stderr = recording.process.stderr.read()
    assert status == 4
    assert "the disk is full" in stderr and "Traceback" not in stderr
    assert len(stderr.splitlines()) == 2
    assert stored_events(recording.trace) > 100_000
    assert recording.manifest().status.startswith("failed: ")


def test_a_deleted_folder_ends_the_recording(start_recording: Start) -> None:
    recording = start_recording()
    recording.wait_events(1)
    shutil.rmtree(recording.trace)
    assert recording.process.wait(PATIENCE_S) == 4
    assert recording.process.stderr is not None
    stderr = recording.process.stderr.read()
    assert "cannot be written" in stderr and "Traceback" not in stderr


def run_record(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """`slabtrace record` to its end."""
    argv = [*SLABTRACE, "record", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, **options)  # type: ignore[call-overload, no-any-return]


def assert_refused(done: subprocess.CompletedProcess[str], status: int, words: str) -> None:
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2


def test_an_existing_trace_is_kept_unless_forced(tmp_path: Path) -> None:
    trace = tmp_path / "t.slab"
    assert run_record("-o", str(trace), "-d", "100ms").returncode == 0
    before = stored_events(trace)
    assert_refused(run_record("-o", str(trace), "-d", "100ms"), 2, "exists already")
    assert_refused(
        run_record("-o", str(trace), "--force", "--cache", "no-such-cache", "-d", "100ms"), 2, "no slab cache"
    )
    assert stored_events(trace) == before
    assert run_record("-o", str(trace), "--force", "-d", "100ms").returncode == 0


def test_force_never_deletes_what_is_no_trace(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("…")
    assert_refused(run_record("-o", str(precious), "--force", "-d", "100ms"), 2, "not a slabtrace trace")
    assert (precious / "thesis.tex").exists()


def test_without_root_one_line_says_so() -> None:
    argv = [*as_nobody(()), *SLABTRACE, "record", "-o", "/tmp/never.slab", "-d", "100ms"]
    assert_refused(subprocess.run(argv, capture_output=True, text=True), 4, "needs root")
    assert not Path("/tmp/never.slab").exists()


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    done = run_record("-o", str(tmp_path / "t.slab"), "--", "/no/such/program")
    assert_refused(done, 2, "no such program")
    assert not (tmp_path / "t.slab").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-size", "100", "--max-size", "50"), "more than --max-size"),
        (("--buffer", "0"), "--buffer 0"),
        (("--buffer", "100000000"), "is not possible"),
        (("-d", "soon"), "is not a duration"),
        (("--comm", ""), "is empty"),
    ],
)
def test_impossible_options(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = run_record("-o", str(tmp_path / "t.slab"), *options)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "t.slab").exists()


def test_the_traced_command_keeps_its_stdout_and_its_status_is_told(tmp_path: Path) -> None:
    done = run_record("-o", str(tmp_path / "t.slab"), "--", "sh", "-c", "echo mine; exit 7")
    assert done.returncode == 0
    assert done.stdout == "mine\n"
    assert "status 7" in done.stderr
    assert slabtrace.open(tmp_path / "t.slab").manifest.command.exit_status == 7  # type: ignore[union-attr]


def test_the_command_does_not_inherit_the_recorders_priority(tmp_path: Path) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    done = run_record("-o", str(tmp_path / "t.slab"), "--", "nice")
    assert int(done.stdout) == mine


def test_under_sudo_trace_and_command_belong_to_the_caller(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    environment = os.environ | {"SUDO_UID": "65534", "SUDO_GID": "65534"}
    done = run_record("-o", str(tmp_path / "t.slab"), "--", "id", "-u", env=environment)
    assert done.stdout == "65534\n", done.stderr
    for path in [tmp_path / "t.slab", *(tmp_path / "t.slab").rglob("*")]:
        status = path.stat()
        assert (status.st_uid, status.st_mode & 0o077) == (65534, 0), path


def test_a_killed_recorder_leaves_no_program_behind(start_recording: Start) -> None:
    recording = start_recording()
    recording.wait_events(1)
    recording.end(signal.SIGKILL)
    assert wait_for(lambda: recording.process.poll() is not None)
