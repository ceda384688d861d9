# SPDX-License-Identifier: Apache-2.0
"""What is said of objects in made-up memory, and what is not believed: re-used memory, merged caches."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.capture.inspecting.kinds.kind import Kind, Owner, Scene
from slabtrace.capture.inspecting.kinds.net import Packet, Sock
from slabtrace.capture.inspecting.kinds.others import Key, Message, Watch
from slabtrace.capture.inspecting.kinds.paths import mount_points
from slabtrace.capture.inspecting.kinds.vfs import Dentry
from slabtrace.capture.slabs.slab_bytes import Objects
from tests.unit.capture.inspecting.made_up import BASE, IMAGE, Memory, cache, scene

SLAB, TEXTS, SUPER, FS = BASE + 0x4000, BASE + 0x1_0000, BASE + 0x1_4000, BASE + 0x1_5000
IT = cache(BASE + 0x100, "it", 256)
DENTRY = {
    "dentry.d_parent": 16, "dentry.d_sb": 24, "dentry.d_name.name": 32, "dentry.d_inode": 40,
    "dentry.d_lockref.count": 48, "super_block.s_type": 0, "super_block.s_dev": 8,
    "file_system_type.name": 0,
}  # fmt: skip


class Kernel:
    def __init__(self, offsets: dict[str, int]) -> None:
        self.memory = Memory()
        self.scene: Scene = scene(self.memory, offsets, (SLAB, IT))
        self.texts = TEXTS

    def text(self, content: bytes) -> int:
        at, self.texts = self.texts, self.texts + 256
        self.memory.put_bytes(at, content + b"\0")
        return at

    def objects(self, *numbers: int) -> Objects:
        address = np.array([SLAB + 256 * each for each in numbers], np.uint64)
        return Objects(address, self.memory.structs(address, 256)[0])

    def look(self, kind: Kind, *numbers: int) -> list[bool]:
        looks: list[bool] = kind.looks(self.scene, self.objects(*numbers)).tolist()
        return looks

    def texts_of(self, kind: Kind, *numbers: int) -> list[str]:
        return [
            f"{each.text} {each.now}".strip() for each in kind.describe(self.scene, self.objects(*numbers))
        ]


class Tree(Kernel):
    """Dentries on a file system of device 8:1."""

    def __init__(self) -> None:
        super().__init__(DENTRY)
        self.memory.put(SUPER, FS, 8 << 20 | 1)
        self.memory.put(FS, self.text(b"ext4"))
        self.count = 0

    def dentry(self, parent: int | None, name: bytes, inode: int = 1, count: int = 2) -> int:
        at = SLAB + 256 * self.count
        self.count += 1
        self.memory.put(at + 16, at if parent is None else parent, SUPER, self.text(name), inode, count)
        return at


def test_a_dentry_has_the_path_from_where_its_file_system_is_mounted() -> None:
    tree = Tree()
    folder = tree.dentry(tree.dentry(None, b"/"), b"spool")
    tree.dentry(folder, b"job", inode=0, count=0)
    tree.scene.mounts = {8 << 20 | 1: "/var"}
    assert tree.look(Dentry(), 0, 1, 2) == [True] * 3
    assert tree.texts_of(Dentry(), 1, 2) == ["/var/spool on ext4", "negative /var/spool/job on ext4"]
    said = Dentry().describe(tree.scene, tree.objects(1, 2))
    assert [each.references for each in said] == [2, 0]


def test_of_a_file_system_that_is_not_mounted_here_the_kind_is_shown() -> None:
    tree = Tree()
    tree.dentry(tree.dentry(None, b"/"), b"spool")
    assert tree.texts_of(Dentry(), 1) == ["ext4:/spool on ext4"]


def test_a_name_is_kept_as_it_is_and_what_is_no_text_is_escaped() -> None:
    tree = Tree()
    tree.dentry(tree.dentry(None, b"/"), b"\x1b[31m\xff")
    assert tree.texts_of(Dentry(), 1) == ["ext4:/\x1b[31m\\xff on ext4"]


def test_a_circle_of_parents_and_a_parent_that_is_gone_end() -> None:
    tree = Tree()
    tree.dentry(SLAB + 256, b"a")
    tree.dentry(SLAB, b"b")
    tree.dentry(BASE - 4096, b"c")
    assert tree.texts_of(Dentry(), 0, 2) == ["? on ext4", "? on ext4"]


def test_what_is_no_dentry_any_more_does_not_look_like_one() -> None:
    tree = Tree()
    root = tree.dentry(None, b"/")
    for count, parent, sb in ((-128, root, SUPER), (1, root, SUPER + 8), (1, 0x41, SUPER)):
        at = tree.dentry(root, b"x")
        tree.memory.put(at + 16, parent, sb)
        tree.memory.put(at + 48, count % (1 << 64))
    assert tree.look(Dentry(), 0, 1, 2, 3) == [True, False, False, False]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("24 1 8:1 / /var rw - ext4 /dev/sda1 rw", {8 << 20 | 1: "/var"}),
        ("24 1 8:1 /sub /var rw - ext4 /dev/sda1 rw", {}),
        ("24 1 8:1 / /with\\040blank rw - ext4 /dev/sda1 rw", {8 << 20 | 1: "/with blank"}),
        ("24 1 8:1 / /daten/übung\\134 rw - ext4 /dev/sda1 rw", {8 << 20 | 1: "/daten/übung\\"}),
        ("24 1 8:1 / /long rw - x y\n25 1 8:1 / /s rw - x y", {8 << 20 | 1: "/s"}),
        ("damaged", {}),
    ],
)
def test_mount_points(line: str, found: dict[int, str]) -> None:
    assert mount_points(line) == found


KEY = {
    "key.serial": 4,
    "key.usage": 0,
    "key.type": 8,
    "key.description": 16,
    "key.uid": 24,
    "key_type.name": 0,
}


def test_a_key_has_type_description_and_uid() -> None:
    kernel = Kernel(KEY)
    kernel.memory.put_bytes(BASE + 0x1_6000, b"")
    kernel.scene.image = (BASE + 0x1_6000, BASE + 0x1_7000)
    kernel.memory.put(BASE + 0x1_6000, kernel.text(b"user"))
    kernel.memory.put(SLAB, 77 << 32 | 3, BASE + 0x1_6000, kernel.text(b"secret:1"), 1000)
    kernel.memory.put(SLAB + 256, 78 << 32 | 1, TEXTS, kernel.text(b"no type"), 0)
    assert kernel.look(Key(), 0, 1) == [True, False]
    (said,) = Key().describe(kernel.scene, kernel.objects(0))
    assert (said.text, said.references) == ("user secret:1 of uid 1000", 3)


MESSAGE = {"msg_msg.m_list.next": 0, "msg_msg.m_list.prev": 8, "msg_msg.m_type": 16, "msg_msg.m_ts": 24}


def test_a_message_is_one_only_while_its_list_leads_back_to_it() -> None:
    kernel = Kernel(MESSAGE)
    head = BASE + 0x1_8000
    kernel.memory.put(head, SLAB, SLAB)
    kernel.memory.put(SLAB, head, head, 7, 40)
    kernel.memory.put(SLAB + 256, head, head, 7, 40)  # as it was before it was freed
    assert kernel.look(Message(), 0, 1) == [True, False]
    assert kernel.texts_of(Message(), 0) == ["40 bytes, type or priority 7"]


SOCK = {
    "sock.__sk_common.skc_prot": 40, "sock.__sk_common.skc_state": 18, "sock.__sk_common.skc_family": 16,
    "sock.__sk_common.skc_refcnt": 128, "sock.__sk_common.skc_num": 14, "sock.__sk_common.skc_dport": 12,
    "sock.__sk_common.skc_daddr": 0, "sock.__sk_common.skc_rcv_saddr": 4, "proto.name": 8, "proto.slab": 0,
    "sock.sk_socket": 136, "sock.sk_receive_queue": 144, "sock.sk_receive_queue.qlen": 160,
    "unix_sock.addr": 200, "unix_address.name": 8, "unix_address.len": 4,
}  # fmt: skip
PROTOCOL = BASE + 0x1_9000


def a_socket(family: int, name: bytes, slab: int = IT.address) -> Kernel:
    kernel = Kernel(SOCK)
    kernel.scene.image = (PROTOCOL, PROTOCOL + 4096)
    kernel.memory.put(PROTOCOL, slab)
    kernel.memory.put_bytes(PROTOCOL + 8, name + b"\0")
    kernel.memory.put_bytes(SLAB + 16, bytes([family, 0, 10]))  # TCP_LISTEN
    kernel.memory.put(SLAB + 40, PROTOCOL)
    kernel.memory.put(SLAB + 128, 2)
    return kernel


def test_a_tcp_socket_has_its_addresses_and_ports_in_the_right_byte_order() -> None:
    kernel = a_socket(2, b"TCP")
    kernel.memory.put_bytes(SLAB, bytes([10, 0, 0, 2, 127, 0, 0, 1]))
    kernel.memory.put_bytes(SLAB + 12, (443).to_bytes(2, "big") + (8080).to_bytes(2, "little"))
    kernel.memory.put(SLAB + 160, 211)
    assert kernel.look(Sock(), 0) == [True]
    words = "TCP 127.0.0.1:8080 → 10.0.0.2:443 listening no inode (211 in its receive queue)"
    assert kernel.texts_of(Sock(), 0) == [words]


@pytest.mark.parametrize(
    ("name", "shown"), [(b"\0abstract", "@abstract"), (b"/run/it.sock\0", "/run/it.sock")]
)
def test_a_unix_socket_has_its_name(name: bytes, shown: str) -> None:
    kernel = a_socket(1, b"UNIX")
    kernel.memory.put(SLAB + 200, BASE + 0x1_A000)
    kernel.memory.put_bytes(BASE + 0x1_A004, (2 + len(name)).to_bytes(4, "little") + b"\x01\0" + name)
    assert kernel.texts_of(Sock(), 0) == [f"UNIX {shown} listening no inode"]


def test_in_a_merged_cache_only_what_its_protocol_has_from_there_is_a_socket() -> None:
    kernel = a_socket(1, b"UNIX", slab=IT.address + 8)
    assert kernel.look(Sock(), 0) == [False]
    other = a_socket(1, b"UNIX")
    other.memory.put(SLAB + 40, IMAGE)  # no protocol
    assert other.look(Sock(), 0) == [False]


PACKET = {
    "sock.sk_receive_queue": 64, "sock.sk_error_queue": 96, "sock.sk_write_queue": 128,
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "relation"),
    [(64, "in the receive queue of"), (96, "in the error queue of"), (128, "in the send queue of")],
)
def test_a_packet_is_in_the_queue_that_its_list_leads_to(place: int, relation: str) -> None:
    memory = Memory()
    socks = cache(BASE + 0x200, "UNIX", 1024)
    kernel = scene(memory, PACKET, (SLAB, IT), (BASE + 0x8000, socks))
    head, packet = BASE + 0x8000 + 1024 + place, SLAB + 256
    memory.put(head, packet, packet)
    memory.put(packet, head, head)
    assert Packet().owner(kernel, packet) == Owner(BASE + 0x8000 + 1024, relation)
    memory.put(head + 8, packet + 8)
    memory.put(packet, head + 8, head + 8)
    kernel.forget()
    assert Packet().owner(kernel, packet) is None


def test_a_watch_of_inotify_belongs_to_its_group() -> None:
    kernel = Kernel({
        "inotify_inode_mark.wd": 80, "inotify_inode_mark.fsn_mark.group": 8,
        "inotify_inode_mark.fsn_mark.refcnt": 0,
    })  # fmt: skip
    group = SLAB + 256 * 5
    kernel.memory.put(SLAB, 1, group)
    kernel.memory.put(SLAB + 80, 7)
    kernel.memory.put(SLAB + 256, 1, group + 8)
    assert kernel.look(Watch(), 0, 1) == [True, False]
    assert kernel.texts_of(Watch(), 0) == ["number 7"]
    assert Watch().owner(kernel.scene, SLAB) == Owner(group, "watch of")


def test_a_superblock_that_is_another_one_by_now_is_not_called_by_its_old_name() -> None:
    tree = Tree()
    tree.dentry(None, b"/")
    assert tree.texts_of(Dentry(), 0) == ["ext4:/ on ext4"]
    tree.memory.put(FS, tree.text(b"tmpfs"))
    tree.scene.forget()
    assert tree.texts_of(Dentry(), 0) == ["tmpfs:/ on tmpfs"]
