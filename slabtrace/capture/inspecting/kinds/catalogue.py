# SPDX-License-Identifier: Apache-2.0
"""All kinds, and which of them the objects of a cache may be.

Merged caches have objects of several kinds; each object is then of the first kind that it looks like.
STRUCTS names the struct of caches without a kind, for the names of fields.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.kinds.kind import Kind, Scene
from slabtrace.capture.inspecting.kinds.net import Net, Packet, Request, Sock
from slabtrace.capture.inspecting.kinds.others import (
    Cache,
    Cgroup,
    EpollItem,
    KernfsNode,
    Key,
    Message,
    Watch,
)
from slabtrace.capture.inspecting.kinds.tasks import AddressSpace, Mapping, Signal, Task, Timer
from slabtrace.capture.inspecting.kinds.vfs import Dentry, File, Inode
from slabtrace.capture.inspecting.layout import Layout
from slabtrace.capture.slabs.inodes import inode_offsets
from slabtrace.capture.slabs.pin_shape import PinShape
from slabtrace.capture.slabs.slab_bytes import Objects

KINDS: tuple[Kind, ...] = (
    Dentry(), File(), Sock(), Packet(), Request(), Net(), Key(), Message(), EpollItem(), Watch(),
    KernfsNode(), Cgroup(), Task(), Signal(), Timer(), AddressSpace(), Mapping(), Cache(),
)  # fmt: skip
STRUCTS = {
    "ext4_inode_cache": "ext4_inode_info", "sock_inode_cache": "socket_alloc", "inode_cache": "inode",
    "proc_inode_cache": "proc_inode", "shmem_inode_cache": "shmem_inode_info",
    "mqueue_inode_cache": "mqueue_inode_info", "xfs_inode": "xfs_inode", "btrfs_inode": "btrfs_inode",
    "ovl_inode": "ovl_inode", "fuse_inode": "fuse_inode", "TCP": "tcp_sock", "TCPv6": "tcp6_sock",
    "UDP": "udp_sock", "UDPv6": "udp6_sock", "UNIX": "unix_sock", "UNIX-STREAM": "unix_sock",
    "vm_area_struct": "vm_area_struct", "files_cache": "files_struct", "cred_jar": "cred",
    "mnt_cache": "mount",
    "pid": "pid", "nsproxy": "nsproxy", "buffer_head": "buffer_head", "radix_tree_node": "xa_node",
    "maple_node": "maple_node", "vmap_area": "vmap_area", "sighand_cache": "sighand_struct",
    "fs_cache": "fs_struct", "anon_vma": "anon_vma", "anon_vma_chain": "anon_vma_chain",
    "fsnotify_mark_connector": "fsnotify_mark_connector",
    "uid_cache": "user_struct", "io_kiocb": "io_kiocb", "request_sock_TCP": "tcp_request_sock",
    "request_sock_TCPv6": "tcp_request_sock", "eventpoll_pwq": "eppoll_entry",
    "names_cache": "filename", "bio": "bio", "extent_status": "extent_status", "task_group": "task_group",
    "proc_dir_entry": "proc_dir_entry", "mem_cgroup": "mem_cgroup", "user_namespace": "user_namespace",
}  # fmt: skip
_NAMES_OF_TYPES = {"UNIX": "unix_sock", "TCP": "tcp_sock", "UDP": "udp_sock"}


class Catalogue:
    """The kinds that this kernel has; which cache has inodes is found by their own words."""

    def __init__(self, layout: Layout, pins: PinShape | None) -> None:
        self._kinds = [kind for kind in KINDS if kind.available(layout)]
        self._pins = pins
        self._has_inodes = Inode().available(layout) and pins is not None

    def of_names(self, names: Sequence[str]) -> list[Kind]:
        """The kinds that objects of a cache with these names (its aliases too) may be."""
        return [
            kind
            for kind in self._kinds
            if any(fnmatch.fnmatchcase(name, glob) for name in names for glob in kind.caches)
        ]

    def classify(self, scene: Scene, names: Sequence[str], objects: Objects) -> list[tuple[Kind, Objects]]:
        """The objects of each kind; those of none are left out."""
        found, left = [], objects
        for kind in [*self.of_names(names), *self._inodes(objects)]:
            if not len(left.address):
                break
            looks = kind.looks(scene, left)
            if looks.any():
                found.append((kind, left.take(looks)))
                left = left.take(~looks)
        return found

    def _inodes(self, objects: Objects) -> list[Inode]:
        """Where half of the objects have a struct inode, they are inodes (slabs/inodes.py)."""
        if not self._has_inodes or self._pins is None:
            return []
        if objects.words.shape[1] * 8 < self._pins.inode.size:
            return []
        some: NDArray[np.bool_] = np.arange(len(objects.address)) < 64
        return [Inode(offset) for offset in inode_offsets(objects.take(some), self._pins.inode)[:1]]


def struct_of(names: Sequence[str], kind: Kind | None) -> str:
    """The struct that an object of a cache is, for the names of its fields; "" if that is not known."""
    by_cache = next((STRUCTS[name] for name in names if name in STRUCTS), "")
    if kind is not None and kind.struct and kind.struct not in ("sock", "inode", "request_sock"):
        return kind.struct
    return by_cache if kind is not None or len(names) == 1 else ""
