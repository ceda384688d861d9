# SPDX-License-Identifier: Apache-2.0
"""Offsets of the fields that kinds of objects need, by the names that they had in one kernel or another.

A name with several spellings is listed in _SPELLINGS, with the kernel change that renamed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class HasFields(Protocol):
    """What btf_fields.Fields does."""

    def offset_of(self, dotted: str) -> int | None:
        """Byte offset of a field; None if there is no such field."""
        ...

    def size(self, struct: str) -> int | None:
        """Bytes of a struct; None if there is no such struct."""
        ...


_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    # 6.13, 90ee6ed776c0: a count of its own kind, 0 for one reference
    "file.count": ("file.f_ref.refcnt", "file.f_count"),
    "kernfs_node.parent": ("kernfs_node.__parent", "kernfs_node.parent"),  # 6.15
    # 6.8, da549bdd15c2: children were linked by list_head before
    "dentry.children": ("dentry.d_children", "dentry.d_subdirs"),
    "dentry.sibling": ("dentry.d_sib", "dentry.d_child"),
    "net.refs": ("net.ns.count", "net.count"),
    "request_sock.listener": ("request_sock.__req_common.skc_listener",),
    # 6.13, fc4a6a2e4d1c: tables of nodes; before, of files with flags in the lower bits
    "io_ring_ctx.nodes": ("io_ring_ctx.file_table.data.nodes",),
    "io_ring_ctx.nr": ("io_ring_ctx.file_table.data.nr",),
    "io_ring_ctx.files": ("io_ring_ctx.file_table.files",),
    "io_ring_ctx.nr_files": ("io_ring_ctx.nr_user_files",),
    "sock.uid": ("sock.sk_uid",),
    "signal.thread_head": ("signal_struct.thread_head",),
    "task.stack_pointer": ("task_struct.thread.sp", "task_struct.thread.cpu_context.sp"),
    "mount.parent": ("mount.mnt_parent",),
    "inode.uid": ("inode.i_uid",),
}


class Layout:
    """Offsets by name.  `layout[name]` raises KeyError for what this kernel lacks."""

    def __init__(self, fields: HasFields) -> None:
        self._fields = fields
        self._known: dict[str, int | None] = {}

    def at(self, name: str) -> int | None:
        """The offset of a field; None if this kernel lacks it."""
        if name not in self._known:
            spellings = _SPELLINGS.get(name, (name,))
            found = (self._fields.offset_of(each) for each in spellings)
            self._known[name] = next((each for each in found if each is not None), None)
        return self._known[name]

    def __getitem__(self, name: str) -> int:
        offset = self.at(name)
        if offset is None:
            raise KeyError(name)
        return offset

    def has(self, *names: str) -> bool:
        """Does this kernel have all of these fields?"""
        return all(self.at(name) is not None for name in names)

    def spelled(self, name: str, spelling: str) -> bool:
        """Is this the spelling that the kernel has?"""
        return self._fields.offset_of(spelling) is not None and self.at(name) == self._fields.offset_of(
            spelling
        )

    def size(self, struct: str) -> int | None:
        """Bytes of a struct; None if there is none."""
        return self._fields.size(struct)
