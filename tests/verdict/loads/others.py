# SPDX-License-Identifier: Apache-2.0
"""Keys, timers, BPF maps; and several services at once."""

from __future__ import annotations

import os
import signal
import time

from tests.verdict.loads import libc
from tests.verdict.loads.files import MissingNames
from tests.verdict.loads.load import Load
from tests.verdict.loads.messages import Ring
from tests.verdict.loads.sockets import TcpService


class Keys(Load):
    """R10: children add a key of 2,000 bytes each to a keyring, and end."""

    rate = 2.0
    removed = False

    def setup(self) -> None:
        self.keyring = libc.add_key("keyring", f"verdict-{os.getpid()}", b"", libc.USER_KEYRING)
        self.later(libc.unlink_key, self.keyring, libc.USER_KEYRING)

    def step(self, since: float) -> int:
        self.in_a_child(self._add)
        return 0 if self.removed else 1

    def _add(self) -> None:
        key = libc.add_key("user", self.stamp(), bytes(2000), self.keyring)
        if self.removed:
            libc.unlink_key(key, self.keyring)


class KeyChurn(Keys):
    """The same, removed before the child ends."""

    removed = True


class Timers(Load):
    """POSIX timers that nobody deletes."""

    rate = 8.0
    deleted = False

    def step(self, since: float) -> int:
        timer = libc.new_timer()
        if self.deleted:
            libc.delete_timer(timer)
        return 0 if self.deleted else 1  # those that are left end with the process


class TimerChurn(Timers):
    """The same, deleted."""

    rate = 40.0
    deleted = True


class BpfElements(Load):
    """A hash map of BPF to which elements are added only."""

    rate = 50.0
    at_once, size = 5, 400
    removed = False

    def setup(self) -> None:
        self.map = libc.new_map(self.size, 1 << 20)
        self.later(os.close, self.map)
        self.key = 0

    def step(self, since: float) -> int:
        for _ in range(self.at_once):
            self.key += 1
            libc.update(self.map, self.key, self.size)
            if self.removed:
                libc.remove(self.map, self.key)
        return 0 if self.removed else self.at_once


class BpfChurn(BpfElements):
    """The same, removed."""

    removed = True


class ThreeServices(TcpService):
    """TRIAL: one leaks a socket a second, one keeps a queue of 200 messages, one looks up missing names."""

    def setup(self) -> None:
        super().setup()
        self.children = [libc.forked(lambda load=load: _serve(load())) for load in (Ring, MissingNames)]
        for each in self.children:
            self.later(os.waitpid, each, 0)
            self.later(os.kill, each, signal.SIGTERM)

    def pids(self) -> list[int]:
        return self.children


def _serve(load: Load) -> None:
    """Step until SIGTERM."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    begin = time.monotonic()
    try:
        load.setup()
        while not ended:
            load.step(time.monotonic() - begin)
            time.sleep(1 / load.rate)
    finally:
        load.close()
