# SPDX-License-Identifier: Apache-2.0
"""Dentries, inodes and open files."""

from __future__ import annotations

import stat

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
from slabtrace.capture.inspecting.kinds.paths import dentry_paths, superblock
from slabtrace.capture.inspecting.memory import Bools, strings
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.trace.format.batch import UInt64

_TYPES = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device",
}  # fmt: skip
_UNNAMED = ("sockfs", "pipefs")
_ANONYMOUS = "anon_inodefs"
INODE_OF = "inode of"
_WITH_INODE = ("dentry.d_inode", "dentry.d_parent", "dentry.d_sb", "dentry.d_name.name")


class Dentry(Kind):
    """Names in directories; a negative one says that there is no such file."""

    name, struct, caches = "dentry", "dentry", ("dentry",)
    needs = (*_WITH_INODE, "dentry.d_lockref.count", "super_block.s_type", "file_system_type.name")

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        parent, sb, name = (objects.u64(at[f"dentry.{each}"]) for each in ("d_parent", "d_sb", "d_name.name"))
        looks: Bools = (parent % np.uint64(8) == 0) & (objects.i32(at["dentry.d_lockref.count"]) >= 0)
        for each in (parent, sb, name):
            looks = looks & (each > KERNEL)
        asked = np.flatnonzero(looks & (parent != objects.address))
        looks[asked] = scene.words(parent[asked], "dentry.d_sb") == sb[asked]
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        negative = objects.u64(at["dentry.d_inode"]) == 0
        counts = objects.i32(at["dentry.d_lockref.count"]).tolist()
        kinds = [superblock(scene, sb)[0] for sb in objects.u64(at["dentry.d_sb"]).tolist()]
        paths = dentry_paths(scene, objects.address)
        return [
            Described(f"{'negative ' if missing else ''}{path} on {kind}", count)
            for missing, path, kind, count in zip(negative.tolist(), paths, kinds, counts, strict=True)
        ]

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        at = scene.layout
        negative = (objects.u64(at["dentry.d_inode"]) == 0).astype(np.uint64)
        return np.stack([negative, objects.u64(at["dentry.d_parent"])], 1)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        folder = dentry_paths(scene, np.array([key[1]], np.uint64))[0]
        return f"{'negative ' if key[0] else ''}in {folder}"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """See Kind."""
        parent = scene.word(address, "dentry.d_parent")
        return Owner(parent, "entry of the directory") if parent not in (0, address) else None


class Inode(Kind):
    """Inodes of any file system.  `offset`: where struct inode is in the objects of the cache."""

    name, struct = "inode", "inode"
    needs = ("inode.i_mapping", "inode.i_data", "address_space.host", "inode.i_mode", "inode.i_ino",
             "inode.i_sb", "inode.i_count", "inode.i_nlink", "super_block.s_type",
             "inode.i_dentry.first")  # fmt: skip

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        host = self.offset + at["inode.i_data"] + at["address_space.host"]
        if not fits(objects, host):
            return none(objects)
        looks: Bools = objects.u64(host) == objects.address + np.uint64(self.offset)
        return looks & (objects.u64(self.offset + at["inode.i_sb"]) > KERNEL)

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at, texts = scene.layout, []
        modes = narrow(objects, self.offset + at["inode.i_mode"], 2).tolist()
        numbers = objects.u64(self.offset + at["inode.i_ino"]).tolist()
        links = narrow(objects, self.offset + at["inode.i_nlink"], 4).tolist()
        counts = objects.i32(self.offset + at["inode.i_count"]).tolist()
        supers = objects.u64(self.offset + at["inode.i_sb"]).tolist()
        first = objects.u64(self.offset + at["inode.i_dentry.first"]).tolist()
        for mode, number, link, count, sb, alias in zip(
            modes, numbers, links, counts, supers, first, strict=True
        ):
            kind, _ = superblock(scene, sb)
            what = _TYPES.get(stat.S_IFMT(mode), "inode")
            named = self._name(scene, alias) if kind not in _UNNAMED else ""
            gone = ", no name left" if not link and kind not in (*_UNNAMED, _ANONYMOUS) else ""
            texts.append(Described(f"{what} inode {number} on {kind}{named}{gone}", count))
        return texts

    @staticmethod
    def _name(scene: Scene, alias: int) -> str:
        place = scene.layout.at("dentry.d_u") or scene.layout.at("dentry.d_alias")
        if not alias or place is None:
            return ""
        return f" {dentry_paths(scene, np.array([alias - place], np.uint64))[0]}"

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        at = scene.layout
        mode = narrow(objects, self.offset + at["inode.i_mode"], 2) & 0o170000
        return np.stack([mode.astype(np.uint64), objects.u64(self.offset + at["inode.i_sb"])], 1)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        kind, mounted = superblock(scene, key[1])
        return f"{_TYPES.get(key[0], 'inode')} on {kind}{' ' + mounted if mounted else ''}"

    def owner(self, scene: Scene, address: int) -> Owner | None:
        """A socket's or pipe's inode belongs to its file, whose dentry it has."""
        place = scene.layout.at("dentry.d_u") or scene.layout.at("dentry.d_alias")
        alias = scene.word(address + self.offset, "inode.i_dentry.first")
        return Owner(alias - place, INODE_OF) if alias and place is not None else None


class File(Kind):
    """Open files: struct file."""

    name, struct, caches = "file", "file", ("filp",)
    needs = ("file.f_path.dentry", "file.f_inode", "file.f_op", "file.count", "file.private_data",
             "inode.i_ino", "inode.i_sb", *_WITH_INODE)  # fmt: skip

    def looks(self, scene: Scene, objects: Objects) -> Bools:
        """See Kind."""
        at = scene.layout
        dentry, inode = objects.u64(at["file.f_path.dentry"]), objects.u64(at["file.f_inode"])
        looks: Bools = (dentry > KERNEL) & (inode > KERNEL) & (objects.u64(at["file.f_op"]) > KERNEL)
        asked = np.flatnonzero(looks)
        looks[asked] = scene.where.begins(dentry[asked])
        return looks

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        """See Kind."""
        at = scene.layout
        counts = objects.u64(at["file.count"]).astype(np.int64)
        if at.spelled("file.count", "file.f_ref.refcnt"):
            counts = counts + 1  # FILE_REF_ONEREF is 0 (include/linux/file_ref.h)
        dentry_paths(scene, objects.u64(at["file.f_path.dentry"]))  # all at once
        pairs = zip(
            objects.u64(at["file.f_path.dentry"]).tolist(), objects.u64(at["file.f_inode"]).tolist(),
            counts.tolist(), strict=True,
        )  # fmt: skip
        return [Described(file_name(scene, dentry, inode), count) for dentry, inode, count in pairs]

    def groups(self, scene: Scene, objects: Objects) -> UInt64:
        """See Kind."""
        at = scene.layout
        dentry = objects.u64(at["file.f_path.dentry"])
        parent = scene.words(dentry, "dentry.d_parent")
        sb = scene.words(dentry, "dentry.d_sb")
        alone = (
            parent == dentry
        )  # of pipes, sockets, anonymous inodes: files of one name are counted together
        name = np.where(alone, _hash_of(scene, dentry), 0)
        return np.stack([np.where(alone, 0, parent), sb, name], 1)

    def group_name(self, scene: Scene, key: tuple[int, ...]) -> str:
        """See Kind."""
        if key[0]:
            return f"in {dentry_paths(scene, np.array([key[0]], np.uint64))[0]}"
        kind = superblock(scene, key[1])[0]
        return {"sockfs": "sockets", "pipefs": "pipes"}.get(
            kind
        ) or f"{kind} {_NAMES.get(key[2], '')}".strip()


_NAMES: dict[int, str] = {}  # of anonymous files, by the first eight bytes of the name


def _hash_of(scene: Scene, dentries: UInt64) -> UInt64:
    """A number for the name of each dentry: its first eight bytes."""
    texts = strings(scene.memory, scene.words(dentries, "dentry.d_name.name"), 32)
    numbers = [int.from_bytes(text.encode()[:8].ljust(8), "little") for text in texts]
    _NAMES.update(zip(numbers, texts, strict=True))
    return np.array(numbers, np.uint64)


def file_name(scene: Scene, dentry: int, inode: int) -> str:
    """The path of an open file; "socket:[4711]" or "anon_inode:[eventpoll]" as in /proc/PID/fd."""
    kind, _ = superblock(scene, scene.word(dentry, "dentry.d_sb"))
    if kind in _UNNAMED:
        return f"{'socket' if kind == 'sockfs' else 'pipe'}:[{scene.word(inode, 'inode.i_ino')}]"
    if kind == _ANONYMOUS:
        name = strings(scene.memory, np.array([scene.word(dentry, "dentry.d_name.name")], np.uint64))[0]
        return f"anon_inode:{name}"
    path = dentry_paths(scene, np.array([dentry], np.uint64))[0]
    links = part(scene, inode, "inode.i_nlink", 4) if scene.layout.has("inode.i_nlink") else 1
    return path if links else f"{path} (deleted)"
