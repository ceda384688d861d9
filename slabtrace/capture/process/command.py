# SPDX-License-Identifier: Apache-2.0
"""Run the traced command as the user behind sudo, with the recorder's stdin, stdout and stderr."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import Any

from slabtrace.errors import UsageError
from slabtrace.invoker import InvokingUser, invoking_user

_TERMINATE_SECONDS = 5.0


class TracedCommand:
    """The traced command, running.  Raises UsageError if the program cannot be started."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        user = invoking_user()
        self.check(argv[0])
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(argv, **_as_user(user))
        except OSError as error:
            raise UsageError(f"{argv[0]} cannot be started: {error.strerror}") from error

    @staticmethod
    def check(program: str) -> None:
        """Raise UsageError if there is no such program.  Called before anything is compiled or loaded."""
        if shutil.which(program) is None:
            raise UsageError(f"{program}: no such program, or not executable")

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def terminate(self) -> int | None:
        """End the command if it still runs: SIGTERM, after 5 s SIGKILL.  Returns its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode


def _as_user(user: InvokingUser) -> dict[str, Any]:
    if not user.differs:
        return {}
    groups = os.getgrouplist(user.name, user.gid) if user.name else [user.gid]
    environment = dict(os.environ)
    if user.name:
        home = pwd.getpwuid(user.uid).pw_dir
        environment |= {"HOME": home, "USER": user.name, "LOGNAME": user.name}
    return {"user": user.uid, "group": user.gid, "extra_groups": groups, "env": environment}
