# SPDX-License-Identifier: Apache-2.0
"""The command on a finding: JSON on stdin, no shell, a timeout, few at once, and the service never waits."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from slabtrace.watching.commands import AT_ONCE, MOST_WAITING, Commands
from slabtrace.watching.jobs import UNPRIVILEGED, Process
from slabtrace.watching.settings import Settings
from tests.unit.watching.fake import FakeMachine

PATIENCE_S = 120


def commands(machine: FakeMachine, *command: str, timeout: float = 60.0) -> Commands:
    return Commands(machine, Settings(on_finding=command, timeout=timeout), machine.said.append)


def test_the_finding_is_on_stdin_and_nowhere_else() -> None:
    machine = FakeMachine()
    made = commands(machine, "page", "--title=$TITLE")
    made.run_for({"title": "$(rm -rf /)\n", "bytes": 5})
    made.step()
    (job,) = machine.jobs
    assert job.argv == [*UNPRIVILEGED, "page", "--title=$TITLE"]
    assert json.loads(job.given) == {
        "schema": "slabtrace.watch-finding/1", "title": "$(rm -rf /)\n", "bytes": 5,
    }  # fmt: skip


def test_few_run_at_once_and_too_many_are_dropped() -> None:
    machine = FakeMachine()
    made = commands(machine, "page")
    for _ in range(MOST_WAITING + 10):
        made.run_for({})
    made.step()
    assert len(machine.jobs) == AT_ONCE and made.counts["dropped"] == 10
    while made.runs:
        for job in machine.jobs:
            job.code = 0
        made.step()
    assert (len(machine.jobs), made.counts["ok"]) == (MOST_WAITING, MOST_WAITING)


def test_what_takes_too_long_is_killed_and_what_fails_is_said() -> None:
    machine = FakeMachine()
    made = commands(machine, "page", timeout=60)
    made.run_for({})
    made.step()
    machine.seconds = 61
    made.step()
    made.step()
    assert machine.jobs[0].killed == 1 and made.counts["timed_out"] == 1 and not made.runs
    made.run_for({})
    made.step()
    machine.jobs[1].code = 3
    made.step()
    assert made.counts["failed"] == 1
    assert machine.said == [
        "the command on a finding took longer than 60 s", "the command on a finding ended with 3",
    ]  # fmt: skip


def test_without_a_command_nothing_runs_also_after_a_reload() -> None:
    machine = FakeMachine()
    made = commands(machine)
    made.run_for({})
    made.step()
    made.settings = Settings(on_finding=("page",))
    made.run_for({})
    made.settings = Settings()
    made.step()
    assert machine.jobs == [] and not made.runs


def wait(job: Process) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while (code := job.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def test_a_process_that_does_not_read_its_stdin_does_not_make_anybody_wait() -> None:
    assert wait(Process(["true"], b"x" * (1 << 20))) == 0
    counted = "import sys; sys.exit(len(sys.stdin.read()) != 1 << 20)"
    job = Process([sys.executable, "-c", counted], b"x" * (1 << 20))
    assert wait(job) == 0 and job.cpu_s > 0


def test_a_killed_process_takes_along_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    job = Process(["sh", "-c", f"sleep 1000 & echo $! > {started}.new; mv {started}.new {started}; wait"])
    deadline = time.monotonic() + PATIENCE_S
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.kill()
    assert wait(job) == -9
    stat = Path(f"/proc/{int(started.read_text())}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_is_launched_without_capabilities() -> None:
    if os.geteuid() == 0:
        say = "import re,sys; t=open('/proc/self/status').read(); sys.exit('NoNewPrivs:\\t1' not in t)"
        assert wait(Process([*UNPRIVILEGED, sys.executable, "-c", say])) == 0
    assert wait(Process([*UNPRIVILEGED, "/no/such/program"])) == 127
