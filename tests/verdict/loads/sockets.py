# SPDX-License-Identifier: Apache-2.0
"""Sockets and what waits in them."""

from __future__ import annotations

import math
import os
import socket

from tests.verdict.loads import libc
from tests.verdict.loads.load import Load, Sessions

_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_ROOM = 32 << 20


def _receiver() -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _ROOM)
    receiver.bind(("127.0.0.1", 0))
    return receiver


class TcpSockets(Load):
    """L2: a TCP socket is opened and never closed, while five others are opened and closed."""

    rate = 4.0
    others = 5

    def setup(self) -> None:
        self.many_files()
        self.held: list[socket.socket] = []
        self.undo.callback(lambda: [each.close() for each in self.held])

    def step(self, since: float) -> int:
        for _ in range(self.others):
            socket.socket().close()
        self.held.append(socket.socket())
        return 1


class TcpService(TcpSockets):
    """TRIAL: one a second, twenty others closed."""

    rate = 1.0
    others = 20


class SocketChurn(Load):
    """Twenty TCP sockets are opened and closed."""

    def step(self, since: float) -> int:
        for each in [socket.socket() for _ in range(20)]:
            each.close()
        return 0


class Pool(TcpSockets):
    """A pool: it fills to 80 while its clients come, then takes one out and puts it back."""

    others = 0
    rate = 8.0

    def step(self, since: float) -> int:
        if len(self.held) < 80:
            self.held.append(socket.socket())
        else:
            self.held.append(self.held.pop(0))
        return 0


class Collected(TcpSockets):
    """Closed by a garbage collector: all that was opened, each five seconds."""

    rate = 20.0

    def step(self, since: float) -> int:
        self.held.append(socket.socket())
        if len(self.held) >= 100:
            while self.held:
                self.held.pop().close()
        return 0


class _SocketSessions(Load):
    """Sockets that live for a time."""

    mean = 2.0

    def setup(self) -> None:
        self.many_files()
        self.sessions = Sessions(lambda each: each.close())  # type: ignore[attr-defined]
        self.undo.callback(self.sessions.end_all)

    def lifetime(self) -> float:
        return self.random.expovariate(1 / self.mean)

    def one(self, since: float) -> None:
        self.sessions.add(socket.socket(), since + self.lifetime())


class LongSessions(_SocketSessions):
    """Sessions of 80 s on average, twice a recording; as many were there before as are on average."""

    rate = 4.0
    mean = 80.0

    def setup(self) -> None:
        super().setup()
        for _ in range(int(self.rate * self.mean)):
            self.one(0.0)

    def step(self, since: float) -> int:
        self.sessions.end(since)
        self.one(since)
        return 0


class AmongSessions(LongSessions):
    """Beside sessions of 10 s on average, one socket a second is never closed; all come by the same way."""

    mean = 10.0
    rate = 5.0

    def setup(self) -> None:
        super().setup()
        self.made = 0

    def step(self, since: float) -> int:
        super().step(since)
        self.made += 1
        if self.made % 5:
            return 0
        self.sessions.add(socket.socket(), 1e9)
        return 1


class UnixPairs(TcpSockets):
    """Socket pairs that are never closed, while others are."""

    def step(self, since: float) -> int:
        for _ in range(self.others):
            for each in socket.socketpair():
                each.close()
        self.held += socket.socketpair()
        return 1


class MixedSessions(LongSessions):
    """Most sessions are short, a few very long (lognormal, median 0.5 s); stationary from the start."""

    rate = 10.0
    median, sigma, most = 0.5, 2.0, 300.0

    def lifetime(self) -> float:
        return min(self.most, self.median * math.exp(self.random.gauss(0, self.sigma)))

    def setup(self) -> None:
        """Those of the 300 s before the start which still live."""
        _SocketSessions.setup(self)
        for before in range(int(self.most * self.rate)):
            ends = self.lifetime() - before / self.rate
            if ends > 0:
                self.sessions.add(socket.socket(), ends)


class Ramp(_SocketSessions):
    """Sessions of 2 s come ever faster, as in the morning: from 5 to 25 a second within 60 s."""

    rate = 25.0

    def step(self, since: float) -> int:
        self.sessions.end(since)
        if self.random.random() < min(1.0, (5 + since / 3) / 25):
            self.one(since)
        return 0


class Waves(TcpSockets):
    """L6: the number of open sockets is 100 + 80 sin(2 pi t / 20 s)."""

    rate = 20.0

    def step(self, since: float) -> int:
        wanted = round(100 + 80 * math.sin(2 * math.pi * since / 20))
        while len(self.held) < wanted:
            self.held.append(socket.socket())
        while len(self.held) > wanted:
            self.held.pop(self.random.randrange(len(self.held))).close()
        return 0


class DeadSenders(Load):
    """R7: a child sends a datagram to a socket that nobody reads, and ends."""

    rate = 4.0

    def setup(self) -> None:
        self.receiver = _receiver()
        self.later(self.receiver.close)
        self.address = self.receiver.getsockname()

    def step(self, since: float) -> int:
        self.in_a_child(lambda: _send(self.address))
        return 1


class OtherNamespace(DeadSenders):
    """L12: datagrams come through softirq to an unread socket in a network namespace of its own."""

    rate = 8.0

    def setup(self) -> None:
        libc.unshare(libc.CLONE_NEWNET)
        loopback_up()
        super().setup()
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.later(self.sender.close)

    def step(self, since: float) -> int:
        self.sender.sendto(bytes(600), self.address)
        return 1


class LateReader(DeadSenders):
    """200 datagrams wait; each step reads the oldest and sends one."""

    def setup(self) -> None:
        super().setup()
        for _ in range(200):
            _send(self.address)

    def step(self, since: float) -> int:
        self.receiver.recv(600)
        _send(self.address)
        return 0


class FullBuffer(DeadSenders):
    """Nobody reads, but the socket's buffer is full at once; what comes then is dropped."""

    rate = 20.0

    def setup(self) -> None:
        super().setup()
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)

    def step(self, since: float) -> int:
        _send(self.address)
        return 0


def _send(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(600), address)


class InFlight(Load):
    """R5: messages with three files each wait in a socket pair that nobody reads."""

    rate = 4.0
    received = False

    def setup(self) -> None:
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.later(self.there.close)
        self.later(self.here.close)
        self.here.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _ROOM)

    def step(self, since: float) -> int:
        files = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
        socket.send_fds(self.here, [b"x"], files)
        for each in files:
            os.close(each)
        if not self.received:
            return 1
        for each in socket.recv_fds(self.there, 1, 3)[1]:
            os.close(each)
        return 0


class Received(InFlight):
    """The same, received and closed."""

    received = True


class TimeWait(Load):
    """Connections that were closed wait for 60 s: they come and go for 62 s before the recording."""

    rate = 5.0

    def setup(self) -> None:
        libc.unshare(libc.CLONE_NEWNET)
        loopback_up()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.later(self.listener.close)

    def step(self, since: float) -> int:
        client = socket.create_connection(self.listener.getsockname())
        server, _ = self.listener.accept()
        client.close()
        server.close()
        return 0


def loopback_up() -> None:
    """In the namespace of the caller."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0x41)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS
