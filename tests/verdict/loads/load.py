# SPDX-License-Identifier: Apache-2.0
"""What a load is: set up, then a step so many times a second, then all is given back.

A step returns how many owners it left behind; the truth of a scenario is the sum of those.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable

from tests.verdict.loads import libc

MOST_FILES = 20_000


class Load:
    """Base of all loads.  `rate`: steps a second.  Times passed to `step` are seconds since the start."""

    rate = 4.0

    def __init__(self) -> None:
        self.random = random.Random(18)
        self.undo = contextlib.ExitStack()
        self.short_lived: list[int] = []

    def setup(self) -> None:
        """What has to be there before the first step."""

    def step(self, since: float) -> int:
        """One step; returns how many owners it left behind for good."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back everything, whatever happened before."""
        self.undo.close()

    def pids(self) -> list[int]:
        """Processes that the load had, besides the one that steps."""
        return self.short_lived

    # ---- for the loads ---------------------------------------------------------------------------------

    def later(self, give_back: Callable[..., object], *arguments: object) -> None:
        """Give something back at the end; an error then is not passed on, so that all the rest goes too."""

        def quietly() -> None:
            with contextlib.suppress(OSError):
                give_back(*arguments)

        self.undo.callback(quietly)

    def in_a_child(self, work: Callable[[], object]) -> None:
        """Do `work` in a process of its own and wait for it.  Raises ChildProcessError if it failed."""
        pid = libc.forked(work)
        self.short_lived.append(pid)
        if os.waitpid(pid, 0)[1]:
            raise ChildProcessError(f"the child {pid} failed")

    def folder(self, where: str) -> str:
        """A folder of one's own in `where`, removed at the end with all that is in it."""
        path = tempfile.mkdtemp(prefix="verdict-", dir=where)
        self.undo.callback(shutil.rmtree, path, True)
        return path

    def many_files(self) -> None:
        """Room for as many files as the largest load opens."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        # The table of files grows in jumps; it has its last size before the recording begins.
        os.close(os.dup2(0, wanted - 1))

    def stamp(self) -> str:
        """40 characters that were never a name before."""
        return f"{os.getpid():08d}{os.urandom(16).hex()}"


class Sessions:
    """What comes and lives for a time: kept with the time it ends."""

    def __init__(self, give_back: Callable[[object], object]) -> None:
        self._held: list[tuple[float, object]] = []
        self._give_back = give_back

    def __len__(self) -> int:
        return len(self._held)

    def add(self, what: object, until: float) -> None:
        self._held.append((until, what))

    def end(self, now: float) -> None:
        """Give back those whose time is over."""
        for until, what in self._held:
            if until <= now:
                self._give_back(what)
        self._held = [each for each in self._held if each[0] > now]

    def end_all(self) -> None:
        self.end(float("inf"))
