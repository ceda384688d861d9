# SPDX-License-Identifier: Apache-2.0
"""Keys, messages, items of epoll, watches, nodes of kernfs, cgroups, and slab caches themselves."""

from __future__ import annotations

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import KERNEL, Described, Kind, Owner, Scene, fits, narrow, none
from slabtrace.capture.inspecting.kinds.paths import kernfs_paths
from slabtrace.capture.inspecting.kinds.vfs import file_name
from slabtrace.capture.inspecting.memory import Bools, strings
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.trace.format.batch import UInt64

_LONGEST_TEXT = 64
_CSS_ONLINE = 2  # of include/linux/cgroup-defs.h; a cgroup without it is dying
_LARGEST_MESSAGE = 1 << 24


class Key(Kind):
    """Keys and keyrings (keyctl)."""

    name, struct, caches = "key", "key", ("key_jar",)
    needs = ("key.serial", "key.usage", "key.type", "key.description", "key.uid", "key_type.name")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        kind, text = objects.u64(at["key.type"]), objects.u64(at["key.description"])
        looks: Bools = scene.in_image(kind) & (text > KERNEL) & (objects.i32(at["key.serial"]) > 0)
        return looks & (objects.i32(at["key.usage"]) >= 0)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        kinds = strings(scene.memory, scene.words(objects.u64(at["key.type"]), "key_type.name"), 32)
        texts = strings(scene.memory, objects.u64(at["key.description"]), _LONGEST_TEXT)
        uids = narrow(objects, at["key.uid"], 4).tolist()
        counts = objects.i32(at["key.usage"]).tolist()
        return [Described(f"{kind} {text} of uid {uid}", count)
                for kind, text, uid, count in zip(kinds, texts, uids, counts, strict=True)]  # fmt: skip

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        at = scene.layout
        return np.stack([objects.u64(at["key.type"]), narrow(objects, at["key.uid"], 4).astype(np.uint64)], 1)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        name = strings(scene.memory, np.array([scene.word(key[0], "key_type.name")], np.uint64), 32)[0]
        return f"keys of type {name}, uid {key[1]}"


class Message(Kind):
    """Messages in queues of POSIX and System V: msg_msg.  Only its list and its size can be tested."""

    name, struct, caches = "message", "msg_msg", ("msg_msg-*",)
    needs = ("msg_msg.m_list.next", "msg_msg.m_list.prev", "msg_msg.m_type", "msg_msg.m_ts")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        following, size = objects.u64(at["msg_msg.m_list.next"]), objects.u64(at["msg_msg.m_ts"])
        looks: Bools = (following > KERNEL) & (size < np.uint64(_LARGEST_MESSAGE))
        asked = np.flatnonzero(looks)
        back = scene.memory.structs(following[asked] + np.uint64(8), 8)[0][:, 0]
        looks[asked] = back == objects.address[asked] + np.uint64(at["msg_msg.m_list.next"])
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        sizes, kinds = objects.u64(at["msg_msg.m_ts"]).tolist(), objects.u64(at["msg_msg.m_type"]).tolist()
        return [Described(f"{size} bytes, type or priority {kind}")
                for size, kind in zip(sizes, kinds, strict=True)]  # fmt: skip

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "messages"


class EpollItem(Kind):
    """Files that an epoll instance watches: epitem."""

    name, struct, caches = "epoll item", "epitem", ("eventpoll_epi",)
    needs = ("epitem.ffd.file", "epitem.ffd.fd", "epitem.ep", "file.f_path.dentry", "file.f_inode")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        if not fits(objects, at["epitem.ep"], at["epitem.ffd.file"]):
            return none(objects)
        file, ep = objects.u64(at["epitem.ffd.file"]), objects.u64(at["epitem.ep"])
        looks: Bools = scene.where.begins(file) & scene.where.begins(ep)
        inode = np.zeros(len(file), np.uint64)
        inode[looks] = scene.words(file[looks], "file.f_inode")
        return looks & (inode > KERNEL)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        files = objects.u64(at["epitem.ffd.file"])
        fds = objects.i32(at["epitem.ffd.fd"]).tolist()
        dentries, inodes = (
            scene.words(files, f"file.{each}").tolist() for each in ("f_path.dentry", "f_inode")
        )
        return [Described(f"watches fd {fd}, {file_name(scene, dentry, inode)}")
                for fd, dentry, inode in zip(fds, dentries, inodes, strict=True)]  # fmt: skip

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "watched files"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        ep = scene.word(address, "epitem.ep")
        return Owner(ep, "item of") if ep else None


class Watch(Kind):
    """Watches of inotify, as its fdinfo lists them: inotify_inode_mark."""

    name, struct, caches = "watch", "inotify_inode_mark", ("inotify_inode_mark",)
    needs = ("inotify_inode_mark.wd", "inotify_inode_mark.fsn_mark.group",
             "inotify_inode_mark.fsn_mark.refcnt")  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        if not fits(objects, *(at[each] for each in self.needs)):
            return none(objects)
        looks: Bools = scene.where.begins(objects.u64(at["inotify_inode_mark.fsn_mark.group"]))
        return looks & (objects.i32(at["inotify_inode_mark.fsn_mark.refcnt"]) > 0)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        numbers = objects.i32(scene.layout["inotify_inode_mark.wd"]).tolist()
        counts = objects.i32(scene.layout["inotify_inode_mark.fsn_mark.refcnt"]).tolist()
        return [Described(f"number {number}", count) for number, count in zip(numbers, counts, strict=True)]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "watches of inotify"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        group = scene.word(address, "inotify_inode_mark.fsn_mark.group")
        return Owner(group, "watch of") if group else None


class KernfsNode(Kind):
    """Files and folders of sysfs and of cgroup file systems."""

    name, struct, caches = "kernfs node", "kernfs_node", ("kernfs_node_cache",)
    needs = ("kernfs_node.parent", "kernfs_node.name", "kernfs_node.count", "kernfs_node.flags")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        looks: Bools = objects.i32(at["kernfs_node.count"]) >= 0
        parent = objects.u64(at["kernfs_node.parent"])
        looks &= (parent == 0) | scene.where.begins(parent)
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        counts = objects.i32(scene.layout["kernfs_node.count"]).tolist()
        paths = kernfs_paths(scene, objects.address)
        return [Described(path, count) for path, count in zip(paths, counts, strict=True)]

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        return objects.u64(scene.layout["kernfs_node.parent"])[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return f"in {kernfs_paths(scene, np.array([key[0]], np.uint64))[0]}" if key[0] else "roots"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        parent = scene.word(address, "kernfs_node.parent")
        return Owner(parent, "entry of") if parent else None


class Cgroup(Kind):
    """Cgroups, which are found among kmallocs: one points to itself."""

    name, struct, caches = "cgroup", "cgroup", ("kmalloc-2k", "kmalloc-4k", "kmalloc-cg-2k", "kmalloc-cg-4k")
    needs = ("cgroup.self.cgroup", "cgroup.kn", "cgroup.self.flags", "kernfs_node.name")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        if not fits(objects, at["cgroup.kn"]):
            return none(objects)
        looks: Bools = objects.u64(at["cgroup.self.cgroup"]) == objects.address
        return looks & (objects.u64(at["cgroup.kn"]) > KERNEL)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        paths = kernfs_paths(scene, objects.u64(at["cgroup.kn"]))
        flags = narrow(objects, at["cgroup.self.flags"], 4).tolist()
        return [Described(path + ("" if flag & _CSS_ONLINE or path == "/" else ", dying"))
                for path, flag in zip(paths, flags, strict=True)]  # fmt: skip

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        flags = narrow(objects, scene.layout["cgroup.self.flags"], 4) & _CSS_ONLINE
        return flags.astype(np.uint64)[:, None]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "cgroups" if key[0] else "dying cgroups"


class Cache(Kind):
    """Slab caches: kmem_cache."""

    name, struct, caches = "slab cache", "kmem_cache", ("kmem_cache",)
    needs = ("kmem_cache.name", "kmem_cache.refcount")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        looks: Bools = objects.u64(at["kmem_cache.name"]) > KERNEL
        looks &= objects.i32(at["kmem_cache.refcount"]) != 0
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        names = strings(scene.memory, objects.u64(at["kmem_cache.name"]))
        counts = objects.i32(at["kmem_cache.refcount"]).tolist()
        return [Described(name, count) for name, count in zip(names, counts, strict=True)]

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        return "slab caches"
