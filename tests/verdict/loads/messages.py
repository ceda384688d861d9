# SPDX-License-Identifier: Apache-2.0
"""System V messages, segments and queued signals: one kernel object or a few for each."""

from __future__ import annotations

import os
import resource
import signal
import time

from tests.verdict.loads import libc
from tests.verdict.loads.load import Load, Sessions


class Queue(Load):
    """A queue that ends with the load."""

    def setup(self) -> None:
        self.queue = libc.new_queue()
        self.later(libc.remove_queue, self.queue)


class Ring(Queue):
    """L1: 200 messages were queued before; each half second the oldest goes and one comes."""

    rate = 2.0

    def setup(self) -> None:
        super().setup()
        for _ in range(200):
            libc.send(self.queue)

    def step(self, since: float) -> int:
        libc.receive(self.queue)
        libc.send(self.queue)
        return 0


class Messages(Load):
    """Messages that nobody receives."""

    rate = 4.0

    def setup(self) -> None:
        self.queues = [libc.new_queue() for _ in range(20)]
        for each in self.queues:
            self.later(libc.remove_queue, each)
        self.sent = 0

    def step(self, since: float) -> int:
        libc.send(self.queues[self.sent // libc.ROOM])
        self.sent += 1
        return 1


class SlowMessages(Messages):
    """L5: one every three seconds."""

    rate = 1 / 3


class ManyMessages(Messages):
    """L9: enough for a sample of them."""

    rate = 25.0


class WarmUp(Messages):
    """L4: messages come for 30 s, then none."""

    rate = 8.0

    def step(self, since: float) -> int:
        if since < 30:
            super().step(since)
        return 0


class AmongSiblings(Queue):
    """L3: 25 a second are received after 4 s on average; one a second never is."""

    rate = 25.0

    def setup(self) -> None:
        super().setup()
        self.made, self.kind = 0, 1
        self.sessions = Sessions(lambda kind: libc.receive(self.queue, int(str(kind))))
        for _ in range(100):  # as many as there are on average
            self._one(0.0)

    def step(self, since: float) -> int:
        self.sessions.end(since)
        self._one(since)
        self.made += 1
        if self.made % 25 == 0:
            libc.send(self.queue, 1)
            return 1
        return 0

    def _one(self, since: float) -> None:
        self.kind += 1
        libc.send(self.queue, self.kind)
        self.sessions.add(self.kind, since + self.random.expovariate(1 / 4))


class Segments(Load):
    """Shared memory segments that nobody removes."""

    rate = 4.0

    def step(self, since: float) -> int:
        self.later(libc.remove_segment, libc.new_segment())
        return 1


class SegmentRing(Load):
    """30 segments: each step removes the oldest and makes one."""

    rate = 4.0

    def setup(self) -> None:
        self.held = [libc.new_segment() for _ in range(30)]
        self.undo.callback(lambda: [libc.remove_segment(each) for each in self.held])

    def step(self, since: float) -> int:
        libc.remove_segment(self.held.pop(0))
        self.held.append(libc.new_segment())
        return 0


class Signals(Load):
    """Signals queued to a process that blocks them; with `taken`, it takes each."""

    rate = 8.0
    taken = False

    def setup(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_SIGPENDING)
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (most, most))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
        self.pid = libc.forked(self._take)
        self.later(os.waitpid, self.pid, 0)
        self.later(os.kill, self.pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        return [self.pid]

    def step(self, since: float) -> int:
        libc.queue_signal(self.pid, signal.SIGRTMIN)
        return 0 if self.taken else 1

    def _take(self) -> None:
        while True:
            if self.taken:
                signal.sigwaitinfo([signal.SIGRTMIN])
            else:
                time.sleep(3600)


class SignalsTaken(Signals):
    """Signals queued and taken."""

    taken = True
