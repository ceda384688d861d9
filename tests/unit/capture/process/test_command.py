# SPDX-License-Identifier: Apache-2.0
"""The traced command: as which user it runs, how it is ended, and what is said if it cannot be started."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from pathlib import Path

import pytest

from slabtrace.capture.process import command
from slabtrace.capture.process.command import TracedCommand
from slabtrace.errors import UsageError
from slabtrace.invoker import InvokingUser

NOBODY = pwd.getpwnam("nobody")


def test_a_command_that_ended_has_its_exit_status() -> None:
    traced = TracedCommand([sys.executable, "-c", "raise SystemExit(23)"])
    os.waitid(os.P_PID, traced.pid, os.WEXITED | os.WNOWAIT)
    assert traced.poll() == 23
    assert traced.terminate() == 23, "ending it again changes nothing"


def test_a_command_that_runs_is_asked_to_end() -> None:
    traced = TracedCommand(["sleep", "1000"])
    assert traced.poll() is None
    assert traced.terminate() == -signal.SIGTERM


def test_a_command_that_ignores_this_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_TERMINATE_SECONDS", 0.1)
    os.mkfifo(tmp_path / "ready")
    traced = TracedCommand(["sh", "-c", f"trap '' TERM; echo > {tmp_path}/ready; exec sleep 1000"])
    (tmp_path / "ready").read_text()
    assert traced.terminate() == -signal.SIGKILL


def test_a_missing_program_is_named() -> None:
    with pytest.raises(UsageError, match="no-such-program: no such program, or not executable"):
        TracedCommand.check("no-such-program")
    with pytest.raises(UsageError, match="no-such-program"):
        TracedCommand(["no-such-program"])


def test_a_file_that_is_no_program_is_named_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("no program\n")
    file.chmod(0o755)
    with pytest.raises(UsageError, match=r"text cannot be started: Exec format error"):
        TracedCommand([str(file)])


def test_it_runs_as_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = command._as_user(InvokingUser(NOBODY.pw_uid, NOBODY.pw_gid, "nobody"))
    assert (found["user"], found["group"]) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert found["extra_groups"] == os.getgrouplist("nobody", NOBODY.pw_gid)
    wanted = {"HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}
    assert wanted.items() <= found["env"].items()


def test_a_user_without_a_name_keeps_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = command._as_user(InvokingUser(12345, 23456, None))
    assert (found["user"], found["extra_groups"], found["env"]) == (12345, [23456], dict(os.environ))


def test_without_sudo_nothing_is_changed() -> None:
    assert command._as_user(InvokingUser(os.geteuid(), os.getegid(), None)) == {}
