# SPDX-License-Identifier: Apache-2.0
"""Recording takes few privileges, gives them up as it goes, and traces are never read as root behind sudo."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import slabtrace
from slabtrace.capture.process.privileges import RECORDING, Capability
from tests.live.conftest import PATIENCE_S, SLABTRACE, Recording, wait_for
from tests.live.ordinary_user import NOBODY, REPOSITORY, as_nobody, as_root
from tests.live.test_exact_counts import cache_of_a_message

KEPT, EXCHANGED = 23, 1_009
IPC_RMID = 0
SUDO = {"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}
Done = subprocess.CompletedProcess[str]
Sudo = Callable[..., Done]
ALL = ("bpf", "perfmon", "syslog", "dac_read_search", "sys_nice")
SAID = {
    "syslog": "the kernel hides its addresses",
    "dac_read_search": "/proc/slabinfo cannot be read",
    "sys_nice": "the recorder runs like any other task",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of nobody's."""
    folder = Path(tempfile.mkdtemp(prefix="slabtrace-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def leaver(build: Callable[[str], Path], place: Path) -> list[str]:
    """The words that leave KEPT messages, in a program that nobody may run."""
    program = place / "leaver"
    shutil.copy(build("leaver"), program)
    return [str(program), str(KEPT), str(EXCHANGED), "0", "0"]


def record(capabilities: tuple[str, ...], trace: Path, command: list[str]) -> Done:
    options = ("-o", str(trace), "--stacks", "none", "--grace", "0s")
    argv = [*as_nobody(capabilities), *SLABTRACE, "record", *options, "--", *command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("lacking", [None, "syslog", "dac_read_search", "sys_nice"])
def test_an_ordinary_user_with_capabilities_records_exactly(
    place: Path, leaver: list[str], lacking: str | None
) -> None:
    """CAP_BPF and CAP_PERFMON suffice; for want of another one, what it is for is said to be missing."""
    done = record(tuple(name for name in ALL if name != lacking), place / "t.slab", leaver)
    assert done.returncode == 0, done.stderr
    ctypes.CDLL(None).msgctl(int(done.stdout.split()[0]), IPC_RMID, None)
    for name, words in SAID.items():
        assert (f"note: {words}" in done.stderr) == (name == lacking), done.stderr
    trace = slabtrace.open(place / "t.slab")
    command = trace.manifest.command
    assert command is not None
    groups = trace.leaks(by="call_site", pid=[command.pid]).to_dict("records")
    messages = [g for g in groups if g["cache"] == cache_of_a_message() and g["allocated"] >= EXCHANGED]
    assert [(g["outstanding"], g["allocated"]) for g in messages] == [(KEPT, KEPT + EXCHANGED)]
    named = messages[0]["symbol"].startswith(("load_msg+", "alloc_msg+"))
    assert named == (lacking != "syslog"), messages[0]["symbol"]
    assert trace.caches()["slabinfo_end"].notna().any() == (lacking != "dac_read_search")


@pytest.mark.parametrize("lacking", ["bpf", "perfmon"])
def test_for_want_of_what_it_takes_one_line_says_so(place: Path, lacking: str) -> None:
    done = record(tuple(name for name in ALL if name != lacking), place / "t.slab", ["true"])
    assert done.returncode == 4
    assert f"CAP_{lacking.upper()} missing" in done.stderr
    assert len(done.stderr.splitlines()) == 2 and "Traceback" not in done.stderr
    assert not (place / "t.slab").exists()


def test_the_doctor_lists_the_privileges() -> None:
    argv = [*as_nobody(("bpf", "perfmon")), *SLABTRACE, "doctor"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       privileges    CAP_PERFMON, CAP_BPF\n" in done.stdout
    for words in SAID.values():
        assert words in done.stdout


def threads(pid: int) -> dict[str, list[tuple[int, int, bool]]]:
    """For each thread of a process: its effective user, permitted capabilities, and no_new_privs; by name."""
    found: dict[str, list[tuple[int, int, bool]]] = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = (line.split(":", 1) for line in status.read_text().splitlines())
        fields = {key: value.split() for key, value in lines}
        row = (int(fields["Uid"][1]), int(fields["CapPrm"][0], 16), fields["NoNewPrivs"] == ["1"])
        found.setdefault(fields["Name"][0], []).append(row)
    return found


@pytest.mark.parametrize("sudo", [True, False])
def test_no_thread_keeps_what_recording_does_not_take(
    start_recording: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch, sudo: bool
) -> None:
    for name, value in SUDO.items():
        monkeypatch.delenv(name, raising=False)
        if sudo:
            monkeypatch.setenv(name, value)
    recording = start_recording()
    recording.wait_events(1)
    user = NOBODY if sudo else 0
    kept = RECORDING if sudo else RECORDING | {Capability.DAC_OVERRIDE}
    allowed = (user, sum(1 << each for each in kept), True)

    def rows() -> list[tuple[int, int, bool]]:
        return [row for rows in threads(recording.process.pid).values() for row in rows]

    # the thread that reads /proc once has more until it is done
    wait_for(lambda: all(row == allowed for row in rows() if row[1]))
    assert (
        len([row for row in rows() if row[1]]) >= 3
    )  # the consumer, the storing thread, who watches modules
    assert {uid for uid, _, _ in rows()} <= {user, NOBODY}
    status, stderr = recording.end(signal.SIGINT)
    assert status == 0, stderr


# Notes as whom the module that opens traces is loaded, wherever Python goes.
SPY = """
import os, sys
def note(event, args):
    if event == "import" and args[0] == "slabtrace.api":
        with open({log!r}, "a") as log:
            print(os.geteuid(), file=log)
sys.addaudithook(note)
"""


@pytest.fixture
def sudo(place: Path) -> Sudo:
    """Run slabtrace in `place` as sudo would for nobody."""
    (place / "sitecustomize.py").write_text(SPY.format(log=str(place / "log")))
    (place / "log").touch()
    (place / "log").chmod(0o666)
    paths = os.pathsep.join([str(place), str(REPOSITORY)])
    environment = os.environ | SUDO | {"PYTHONPATH": paths, "MPLCONFIGDIR": str(place)}

    def run(*words: str) -> Done:
        argv = [*as_root(), *SLABTRACE, *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, cwd=place
        )

    return run


def test_behind_sudo_no_recorder_reads_its_trace_as_root(place: Path, sudo: Sudo) -> None:
    """What is made is the user's, too: the report, the demo's picture."""
    for words in ("record -o t.slab --report t.html --json -d 50ms", "demo"):
        done = sudo(*words.split())
        assert done.returncode == 0, done.stderr
        assert set((place / "log").read_text().split()) == {str(NOBODY)}
        (place / "log").write_text("")
    made = (place / "t.html", place / "slabtrace-demo" / "usage.png")
    assert [path.stat().st_uid for path in made] == [NOBODY, NOBODY]


def test_behind_sudo_a_trace_that_its_user_may_not_read_stays_unread(place: Path, sudo: Sudo) -> None:
    done = sudo("record", "-o", "t.slab", "-d", "50ms", "-q")
    assert done.returncode == 0, done.stderr
    assert sudo("leaks", "t.slab").returncode == 0
    os.chown(place / "t.slab", 0, 0)
    refused = sudo("leaks", "t.slab")
    assert refused.returncode == 2 and "not readable" in refused.stderr
    place.chmod(0o755)
    os.chown(place, 0, 0)
    unwritable = sudo("record", "-o", "u.slab", "--report", "u.html", "-d", "50ms")
    assert unwritable.returncode == 2 and "uid 65534, who called sudo, cannot use" in unwritable.stderr
    assert not (place / "u.slab").exists()
