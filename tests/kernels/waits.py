# SPDX-License-Identifier: Apache-2.0
"""What a guest waits for: the host decides when a wait is over, and each wait has a deadline.

The guest creates wait-NAME on the share and continues when the host has created met-NAME (`wait_for` in
workload.py).  The host reads the recording through its own file system.  The guest must not: a 9p read of
a file that is being replaced may never return.

Example:

    process in the guest                          size in the inode    bytes in the open file
    lab opens manifest.json                       1000                 1000
    recorder renames a longer file over it        1000                 1000
    lab calls fstat; QEMU looks up the path       1010                 1000
    lab reads 1010 bytes, gets 1000               1010                 1000
    kernel retries the missing 10, gets 0         1010                 1000

    6.12 repeats the last step without end, in the kernel (netfs_retry_reads), at the full speed of a CPU;
    a signal does not stop it.  7.3 returns ENODATA.  5.10 and 6.1 return the 1000 bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from slabtrace.errors import SlabtraceError
from slabtrace.trace import manifest

TRACE, STDERR, OUTPUT = "trace.slab", "record.stderr", "output"  # on the share
# Measured on two CPUs with a load of 20: up to 49 s.
DEADLINE_S = 150


class Seen(NamedTuple):
    """What the host sees of a guest: totals of its manifest, the stderr of `record`, whether it runs."""

    modules: int = 0
    events: int = 0
    stderr: str = ""
    started: bool = False


@dataclass(frozen=True)
class Wait:
    """`met` gets what the host has seen, oldest first, each state once.

    `since`: the wait whose end is the first of these states; "": the guest's request is.
    """

    name: str
    what: str
    met: Callable[[Sequence[Seen]], bool]
    since: str = ""
    deadline_s: float = DEADLINE_S


BOOT = Wait("boot", "the guest's init has started the command", lambda seen: seen[-1].started)
WAITS = (
    BOOT,  # the host asks (guest.py)
    # Only then can the next wait see the number of modules grow.
    Wait(
        "symbols",
        "the manifest counts modules: the recorder has saved its first totals",
        lambda seen: seen[-1].modules > 0,
    ),
    # The module may not go before: what it allocated could not be named.
    Wait(
        "module",
        "the manifest counts one more module: the recorder has read its symbols",
        lambda seen: seen[-1].modules > seen[0].modules,
        since="symbols",
    ),
    # The guest may not panic before.  Twice: what was counted first may be older than the request.
    Wait(
        "stored",
        "the manifest's count of events has grown twice: all that was done is in files",
        lambda seen: len({each.events for each in seen}) > 2,
    ),
    Wait(
        "reported",
        "`record` reports a wrong-cache-free, the last of the wrong frees",
        lambda seen: "wrong-cache-free" in seen[-1].stderr,
    ),
)


def look(folder: Path) -> Seen:
    """The state of the guest with this folder; zeros for what does not exist yet."""
    stderr, started = folder / STDERR, (folder / OUTPUT).exists()
    text = stderr.read_text(errors="replace") if stderr.exists() else ""
    try:
        totals = manifest.load(folder / TRACE).totals
    except SlabtraceError:  # no trace yet
        return Seen(stderr=text, started=started)
    return Seen(totals.modules, totals.events, text, started)


@dataclass
class Watch:
    """Answers the waits of one guest, whose share is `folder`, until `seconds` have passed."""

    folder: Path
    seconds: float
    waits: Iterable[Wait] = WAITS
    clock: Callable[[], float] = time.monotonic
    took_s: dict[str, float] = field(default_factory=dict)  # of the waits that are over

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._asked: dict[str, float] = {}
        self._seen: dict[str, list[Seen]] = {}

    def answer(self) -> str:
        """Answer what can be answered.  Returns the deadline that has passed, "" if none has."""
        for wait in self.waits:
            if self._is_open(wait) and self._is_met(wait):
                self.took_s[wait.name] = self.clock() - self._asked[wait.name]
                (self.folder / f"met-{wait.name}").touch()
        return self._overdue()

    def _is_open(self, wait: Wait) -> bool:
        if wait.name in self.took_s or not (self.folder / f"wait-{wait.name}").exists():
            return False
        self._asked.setdefault(wait.name, self.clock())
        return True

    def _is_met(self, wait: Wait) -> bool:
        seen = self._seen.setdefault(wait.name, self._seen[wait.since][-1:] if wait.since else [])
        now = look(self.folder)
        if now not in seen[-1:]:
            seen.append(now)
        return wait.met(seen)

    def _overdue(self) -> str:
        now = self.clock()
        for wait in self.waits:
            waited = now - self._asked.get(wait.name, now)
            if wait.name not in self.took_s and waited > wait.deadline_s:
                return f"not met within {waited:.0f} s: {wait.what}"
        if now - self._begun > self.seconds:
            return f"the guest did not end within {now - self._begun:.0f} s{self._waiting()}"
        return ""

    def _waiting(self) -> str:
        """The wait that is open, as the end of a sentence; "" if there is none."""
        names = [wait for wait in self.waits if wait.name in self._asked and wait.name not in self.took_s]
        return f"; not met yet: {names[-1].what}" if names else ""
