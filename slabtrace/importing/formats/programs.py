# SPDX-License-Identifier: Apache-2.0
"""Running the programs that read binary recordings: perf, trace-cmd, babeltrace2.

Only they know all versions of their formats.  What they print is read while they run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slabtrace.errors import TraceError, UsageError
from slabtrace.importing.formats.printed import Printed

PACKAGES = {"perf": "linux-perf", "trace-cmd": "trace-cmd", "babeltrace2": "babeltrace2"}  # Debian's
LONGEST_MESSAGE = 4096  # bytes
_ENVIRONMENT = {"LC_ALL": "C", "PERF_PAGER": "cat", "PAGER": "cat", "HOME": "/nonexistent"}
_SECONDS = 600  # for a short answer


def required(program: str, what: Path) -> str:
    """The path of a program that has to read `what`.  Raises UsageError if it is not installed."""
    found = shutil.which(program)
    if found is None:
        raise UsageError(
            f"{what} can only be read by {program}, which is not installed",
            f"On Debian: apt install {PACKAGES[program]}. Or import the text that it prints elsewhere.",
        )
    return found


@contextmanager
def running(
    command: Sequence[str], what: Path, heed: Callable[[str], None] | None = None
) -> Iterator[Printed]:
    """Run a program that reads `what`, and give what it prints; killed if the block is left early.

    `heed` is called with each line of its messages, after its end.  Raises TraceError if it fails, with the
    last line that it said.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, env=_environment()
        )
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        try:
            yield Printed(process, what)
            process.stdout.close()
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        reason = f"exit status {status}"
        for message in _lines(messages):
            reason = message
            if heed is not None:
                heed(message)
        if status:
            raise TraceError(f"{what} cannot be read: {Path(command[0]).name} says: {reason[:300]}")


def _lines(messages: IO[bytes]) -> Iterator[str]:
    """The lines that are not empty."""
    messages.seek(0)
    while line := messages.readline(LONGEST_MESSAGE):
        if said := line.decode(errors="backslashreplace").strip():
            yield said


def answer(command: Sequence[str]) -> str:
    """What a program prints, if that is short; empty if it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[: 1 << 20].decode(errors="backslashreplace") if done.returncode == 0 else ""


def _environment() -> dict[str, str]:
    """Neither the user's settings of these programs, nor a language that changes their texts.

    But what `perf record` kept for `perf script`: the symbols of the kernels that it recorded.
    """
    symbols = os.environ.get("PERF_BUILDID_DIR") or f"{os.environ.get('HOME', '')}/.debug"
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {"PATH": path, "PERF_BUILDID_DIR": symbols, **_ENVIRONMENT}
