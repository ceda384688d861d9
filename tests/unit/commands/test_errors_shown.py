# SPDX-License-Identifier: Apache-2.0
"""Every failure ends as one or two lines on stderr and the exit code that scripts rely on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from slabtrace.commands import cli, main
from slabtrace.errors import CaptureError, SlabtraceError, TraceError, UsageError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs `slabtrace info x` with the command replaced by one that raises; gives the exit code."""

    def run(error: BaseException) -> int:
        @click.command("info")
        @click.argument("trace")
        def command(trace: str) -> None:
            raise error

        monkeypatch.setattr(cli, "get_command", lambda ctx, name: command)
        monkeypatch.delenv("SLABTRACE_DEBUG", raising=False)
        return main.run(["info", "x"])

    return run


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (UsageError("no such cache", "try another"), 2, "slabtrace: no such cache\n  try another\n"),
        (TraceError("x is damaged"), 3, "slabtrace: x is damaged\n"),
        (CaptureError("not root", "run it with sudo"), 4, "slabtrace: not root\n  run it with sudo\n"),
        (SlabtraceError("found"), 1, "slabtrace: found\n"),
        (KeyboardInterrupt(), 130, ""),
        (TraceError("evil \x1b[31m\n"), 3, "slabtrace: evil \\x1b[31m\\n\n"),
        (
            ValueError("what"),
            70,
            "slabtrace: internal error: ValueError: what "
            "(this is a bug; SLABTRACE_DEBUG=1 shows the traceback)\n",
        ),
    ],
)
def test_words_and_code(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    shown: str,
) -> None:
    assert failing(error) == code
    assert capsys.readouterr() == ("", shown)


def test_a_full_disk_is_worded(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/mnt/u.png")) == 2
    assert capsys.readouterr().err == (
        "slabtrace: /mnt/u.png: No space left on device\n  free some space there, or write somewhere else\n"
    )


def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError("what")
    assert failing(error) == 70
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SLABTRACE_DEBUG", "1")
    assert main._internal(error) == 70
    assert "ValueError: what" in capsys.readouterr().err.partition("slabtrace: internal error")[0]


@pytest.mark.parametrize(
    "args", [["nonsense"], ["leaks"], ["leaks", "--limit", "x", "t"], ["leaks", "--nope"]]
)
def test_wrong_use_is_exit_code_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Usage: slabtrace" in err and "Error: " in err


def test_a_mistyped_command_names_the_one_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["leek"]) == 2
    assert "Did you mean 'leaks'?" in capsys.readouterr().err


def run_slabtrace(
    *args: str | Path, stdout: int | None = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "slabtrace", *map(str, args)]
    return subprocess.run(run, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("command", ["info", "leaks", "stat", "caches", "mismatches"])
def test_a_missing_trace_is_exit_code_3(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "no.slab"
    result = run_slabtrace(command, missing)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("slabtrace: ") and str(missing) in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_closed_pipe_is_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run_slabtrace("completion", "bash", stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def test_a_full_stdout_is_no_traceback() -> None:
    with Path("/dev/full").open("wb") as full:
        result = run_slabtrace("completion", "bash", stdout=full.fileno())
    assert result.returncode == 2
    assert "No space left on device" in result.stderr and "Traceback" not in result.stderr
