# SPDX-License-Identifier: Apache-2.0
"""Sockets of all families, packets, and network namespaces."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import (
    KERNEL,
    Described,
    Kind,
    Owner,
    Scene,
    fits,
    narrow,
    none,
    part,
)
from slabtrace.capture.inspecting.memory import Bools, strings
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.trace.format.batch import UInt64

_STATES = (
    "", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "closed",
    "close-wait", "last-ack", "listening", "closing", "new-syn-recv",
)  # fmt: skip  # include/net/tcp_states.h
_COMMON = "sock.__sk_common."
_QUEUES = {
    "sock.sk_receive_queue": "receive queue", "udp_sock.reader_queue": "receive queue",
    "sock.sk_error_queue": "error queue", "sock.sk_write_queue": "send queue",
}  # fmt: skip
_PROTOCOLS = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x88CC: "LLDP", 0x0003: "ETH_P_ALL"}
_DATAGRAM = ("UDP", "UDPv6", "UDPLITE", "RAW", "RAWv6", "PING")


class Sock(Kind):
    """struct sock of any protocol.  Its protocol names the cache that it is from, which is checked."""

    name, struct = "sock", "sock"
    caches = ("TCP", "TCPv6", "UDP", "UDPv6", "UNIX", "UNIX-STREAM", "RAW", "RAWv6", "PING", "PACKET",
              "NETLINK", "KEY", "XDP", "MPTCP", "MPTCPv6", "VSOCK", "AF_VSOCK")  # fmt: skip
    needs = (f"{_COMMON}skc_prot", f"{_COMMON}skc_state", f"{_COMMON}skc_family", f"{_COMMON}skc_refcnt",
             "proto.name", "proto.slab", "sock.sk_socket", "sock.sk_receive_queue")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        place = at[f"{_COMMON}skc_prot"]
        if not fits(objects, place):
            return none(objects)
        protocol = objects.u64(place)
        looks: Bools = scene.in_image(protocol)
        asked = np.flatnonzero(looks)
        slab = scene.words(protocol[asked], "proto.slab")
        looks[asked] = (slab != 0) & (slab == scene.where.find(objects.address[asked]).cache)
        return looks & (objects.i32(at[f"{_COMMON}skc_refcnt"]) >= 0)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        counts = objects.i32(scene.layout[f"{_COMMON}skc_refcnt"]).tolist()
        return [Described(sock_text(scene, each), count, _queued(scene, each))
                for each, count in zip(objects.address.tolist(), counts, strict=True)]  # fmt: skip

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        at = scene.layout
        state = narrow(objects, at[f"{_COMMON}skc_state"], 1).astype(np.uint64)
        ownerless = (objects.u64(at["sock.sk_socket"]) == 0).astype(np.uint64)
        return np.stack([objects.u64(at[f"{_COMMON}skc_prot"]), state, ownerless], 1)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        protocol = strings(scene.memory, np.array([key[0] + scene.layout["proto.name"]], np.uint64), 32)[0]
        alone = ", without a socket (not accepted, or closed)" if key[2] else ""
        return f"{protocol} {_state(protocol, key[1])}{alone}"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        file = sock_file(scene, address)
        return Owner(file, "socket of") if file else None


def _state(protocol: str, state: int) -> str:
    if protocol.startswith(_DATAGRAM) or not state < len(_STATES):
        return "connected" if state == 1 else "open"
    return _STATES[state]


def sock_file(scene: Scene, sock: int) -> int:
    """The struct file of a socket; 0 if it has none: it was not accepted yet, or is the kernel's own."""
    own = scene.word(sock, "sock.sk_socket")
    return scene.word(own, "socket.file") if own else 0


def sock_inode(scene: Scene, sock: int) -> int:
    """The number of a socket's inode; 0 if it has none."""
    own = scene.word(sock, "sock.sk_socket")
    if not own or not scene.layout.has("socket_alloc.vfs_inode", "inode.i_ino"):
        return 0
    return scene.word(own + scene.layout["socket_alloc.vfs_inode"], "inode.i_ino")


def sock_text(scene: Scene, sock: int) -> str:
    """Protocol, addresses, state and inode."""
    at = scene.layout
    protocol = scene.word(sock, f"{_COMMON}skc_prot")
    name = strings(scene.memory, np.array([protocol + at["proto.name"]], np.uint64), 32)[0]
    family = part(scene, sock, f"{_COMMON}skc_family", 2)
    state = part(scene, sock, f"{_COMMON}skc_state", 1)
    words = [name, _addresses(scene, sock, family), _state(name, state)]
    inode = sock_inode(scene, sock)
    words += [f"inode {inode}" if inode else "no inode"]
    return " ".join(each for each in words if each)


def _queued(scene: Scene, sock: int) -> str:
    """What waits in a socket: it becomes more or less all the time."""
    queued = scene.half(sock, "sock.sk_receive_queue.qlen")
    return f"({queued} in its receive queue)" if queued else ""


def _addresses(scene: Scene, sock: int, family: int) -> str:
    if family == socket.AF_UNIX:
        return _unix_name(scene, sock)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return ""
    port = part(scene, sock, f"{_COMMON}skc_num", 2)
    (peer_port,) = struct.unpack(">H", part(scene, sock, f"{_COMMON}skc_dport", 2).to_bytes(2, "little"))
    names = (
        ("skc_rcv_saddr", "skc_daddr") if family == socket.AF_INET else ("skc_v6_rcv_saddr", "skc_v6_daddr")
    )
    width = 4 if family == socket.AF_INET else 16
    local, peer = (
        socket.inet_ntop(family, part(scene, sock, _COMMON + each, width).to_bytes(width, "little"))
        for each in names
    )
    local, peer = (f"[{each}]" if width == 16 else each for each in (local, peer))
    return f"{local}:{port}" + (f" → {peer}:{peer_port}" if peer_port else "")


def _unix_name(scene: Scene, sock: int) -> str:
    """The name that a UNIX socket is bound to; an abstract one begins with a 0 byte, written as @."""
    if not scene.layout.has("unix_sock.addr", "unix_address.name", "unix_address.len"):
        return ""
    address = scene.word(sock, "unix_sock.addr")
    if not address:
        return ""
    length = scene.half(address, "unix_address.len")
    words, _ = scene.memory.structs(np.array([address + scene.layout["unix_address.name"]], np.uint64), 112)
    raw: bytes = words[0].tobytes()[2 : max(min(length, 110), 2)]
    if raw[:1] == b"\0":
        return "@" + raw[1:].decode(errors="backslashreplace")
    return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")


class Packet(Kind):
    """Packets and datagrams: sk_buff."""

    name, struct = "sk_buff", "sk_buff"
    caches = ("skbuff_head_cache", "skbuff_fclone_cache")
    needs = ("sk_buff.len", "sk_buff.head", "sk_buff.data", "sk_buff.users", "sk_buff.truesize",
             "sk_buff.protocol", "sk_buff.dev", "sk_buff.sk", "sk_buff.next")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        head, data = objects.u64(at["sk_buff.head"]), objects.u64(at["sk_buff.data"])
        looks: Bools = (head > KERNEL) & (data >= head) & (data - head < np.uint64(1 << 24))
        return looks & (objects.i32(at["sk_buff.users"]) > 0) & (objects.i32(at["sk_buff.truesize"]) > 0)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at, found = scene.layout, []
        lengths = narrow(objects, at["sk_buff.len"], 4).tolist()
        protocols = narrow(objects, at["sk_buff.protocol"], 2).tolist()
        devices = objects.u64(at["sk_buff.dev"]).tolist()
        counts = objects.i32(at["sk_buff.users"]).tolist()
        for length, protocol, device, count in zip(lengths, protocols, devices, counts, strict=True):
            found.append(Described(f"{length} bytes{_protocol(protocol)}{_device(scene, device)}", count))
        return found

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        return narrow(objects, scene.layout["sk_buff.protocol"], 2).astype(np.uint64)[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return f"packets{_protocol(key[0])}"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        queue = queue_of(scene, address)
        return None if queue is None else Owner(queue.sock, f"in the {queue.name} of")


def _protocol(number: int) -> str:
    number = (number & 0xFF) << 8 | number >> 8
    return f" of {_PROTOCOLS.get(number, hex(number))}" if number else ""


def _device(scene: Scene, device: int) -> str:
    """The name of the device, if the pointer is one: in a socket's queue, its place has other words."""
    if not scene.layout.has("net_device.name") or device <= int(KERNEL):
        return ""
    text = strings(scene.memory, np.array([device + scene.layout["net_device.name"]], np.uint64), 16)[0]
    return f" from {text}" if text.isprintable() and 0 < len(text) < 16 and text.isascii() else ""


class Queue(NamedTuple):
    """A socket's queue of packets."""

    sock: int
    name: str


def queue_of(scene: Scene, packet: int) -> Queue | None:
    """The socket in whose queue a packet is, by following the queue to its head."""
    head = scene.lists.head(packet)
    if head is None:
        return None
    found = scene.where.one(head.address)[0]
    places = {scene.layout.at(field): name for field, name in _QUEUES.items()}
    name = places.get(head.address - found)
    return Queue(found, name) if found and name else None


class Request(Kind):
    """Connections that are not accepted yet, as their listener has them."""

    name, struct = "request_sock", "request_sock"
    caches = ("request_sock_TCP", "request_sock_TCPv6")
    needs = ("request_sock.listener", "request_sock.sk", "request_sock.dl_next")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        if not fits(objects, at["request_sock.sk"]):
            return none(objects)
        listener = objects.u64(at["request_sock.listener"])
        looks: Bools = listener > KERNEL
        asked = np.flatnonzero(looks)
        looks[asked] = scene.where.begins(listener[asked]) & scene.in_image(
            scene.words(listener[asked], f"{_COMMON}skc_prot")
        )
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        children = objects.u64(scene.layout["request_sock.sk"]).tolist()
        return [Described(f"connection {sock_text(scene, each)}", None, _queued(scene, each)) if each
                else Described("connection in handshake")
                for each in children]  # fmt: skip

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "connections not accepted"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        listener = scene.word(address, "request_sock.listener")
        return Owner(listener, "in the accept queue of") if listener else None


class Net(Kind):
    """Network namespaces."""

    name, struct, caches = "network namespace", "net", ("net_namespace",)
    needs = ("net.ns.inum",)

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        place = scene.layout["net.ns.inum"]
        if not fits(objects, place):
            return none(objects)
        number = narrow(objects, place, 4)
        looks: Bools = (number >= 0xF000_0000) & (number < 0xF100_0000)  # PROC_DYNAMIC_FIRST, fs/proc
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        refs = scene.layout.at("net.refs")
        counts = [None] * len(objects.address) if refs is None else objects.i32(refs).tolist()
        numbers = narrow(objects, scene.layout["net.ns.inum"], 4).tolist()
        return [Described(f"net:[{number}]", count) for number, count in zip(numbers, counts, strict=True)]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "network namespaces"
