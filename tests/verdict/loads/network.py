# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, routes and neighbours, all in namespaces of the load's own."""

from __future__ import annotations

import os
import socket
import struct

from tests.verdict.loads import libc
from tests.verdict.loads.load import Load
from tests.verdict.loads.sockets import loopback_up

_NEWROUTE, _DELROUTE, _NEWNEIGH = 24, 25, 28
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400


class Namespaces(Load):
    """R18: network namespaces that are kept by an open file."""

    rate = 1.0

    def setup(self) -> None:
        libc.unshare(libc.CLONE_NEWNET)

    def step(self, since: float) -> int:
        libc.unshare(libc.CLONE_NEWNET)
        self.later(os.close, os.open("/proc/self/ns/net", os.O_RDONLY))
        return 1


class NamespaceChurn(Namespaces):
    """Network namespaces that end when the process goes to the next one."""

    def step(self, since: float) -> int:
        libc.unshare(libc.CLONE_NEWNET)
        return 0


class Routes(Load):
    """R19: routes to ever new addresses, never deleted."""

    rate = 8.0

    def setup(self) -> None:
        libc.unshare(libc.CLONE_NEWNET)
        loopback_up()
        self.loopback = socket.if_nametoindex("lo")
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.later(self.netlink.close)
        self.next = 0

    def step(self, since: float) -> int:
        self.route(_NEWROUTE, self.next)
        self.next += 1
        return 1

    def route(self, what: int, number: int) -> None:
        header = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 4, 253, 1, 0)  # main, static, link
        self.ask(what, header + self._address(1, number) + struct.pack("=HHi", 8, 4, self.loopback))

    def _address(self, attribute: int, number: int) -> bytes:
        return struct.pack("=HH4s", 8, attribute, struct.pack(">I", 0x0A400000 + number))  # 10.64.0.0

    def ask(self, what: int, body: bytes) -> None:
        """One request, and the kernel's answer.  Raises OSError if it refuses."""
        self.netlink.send(struct.pack("=IHHII", 16 + len(body), what, _REQUEST | _ACK | _CREATE, 1, 0) + body)
        error: int = struct.unpack_from("=i", self.netlink.recv(4096), 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))


class RouteFlaps(Routes):
    """100 routes: each step deletes the oldest and adds one."""

    rate = 20.0

    def setup(self) -> None:
        super().setup()
        for _ in range(100):
            Routes.step(self, 0)

    def step(self, since: float) -> int:
        self.route(_DELROUTE, self.next - 100)
        Routes.step(self, since)
        return 0


class Neighbours(Routes):
    """R19: permanent neighbours of ever new addresses (IPv6: of IPv4 the loopback device has but one)."""

    def step(self, since: float) -> int:
        header = struct.pack("=BxxxiHBB", socket.AF_INET6, self.loopback, 0x80, 0, 0)  # NUD_PERMANENT
        address = struct.pack("=HH", 20, 1) + struct.pack(">QQ", 0xFD00 << 48, self.next)
        self.ask(_NEWNEIGH, header + address + struct.pack("=HH6s2x", 10, 2, bytes(6)))
        self.next += 1
        return 1
