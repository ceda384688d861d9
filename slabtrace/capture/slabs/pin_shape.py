# SPDX-License-Identifier: Apache-2.0
"""Byte offsets of the reference counts of dentries and inodes on this kernel, from its BTF."""

from __future__ import annotations

from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf


@dataclass(frozen=True)
class DentryShape:
    """Offsets in struct dentry.

    `circular`: the list of children ends at its own head in the parent, and not with 0.  Children were
    linked by list_head (d_subdirs, d_child) until 6.8, by hlist since (da549bdd15c2).
    """

    size: int
    count: int  # d_lockref.count
    parent: int
    superblock: int
    name: int  # the pointer to it
    alias: int  # the next dentry of the same inode; it points to that field of it
    sibling: int  # the next child of the same parent; likewise
    children: int
    circular: bool


@dataclass(frozen=True)
class InodeShape:
    """Offsets in struct inode; `host` is in struct address_space."""

    size: int
    count: int
    dentries: int
    mapping: int
    data: int  # the address_space in the inode, to which `mapping` usually points
    host: int


@dataclass(frozen=True)
class PinShape:
    """What has to be known to read whether dentries and inodes are pinned."""

    dentry: DentryShape
    inode: InodeShape


_DENTRY = ("d_lockref", "d_parent", "d_sb", "d_name")
_INODE = ("i_count", "i_dentry", "i_mapping", "i_data")


def examine(btf: Btf) -> PinShape | None:
    """The running kernel's shape; None if it is not one that slabtrace knows."""
    needed = [*(("dentry", name) for name in _DENTRY), *(("inode", name) for name in _INODE)]
    needed += [("lockref", "count"), ("qstr", "name"), ("address_space", "host")]
    alias = next((name for name in ("d_alias", "d_u") if btf.has_field("dentry", name)), None)
    lists = next((each for each in _CHILDREN if all(btf.has_field("dentry", name) for name in each)), None)
    if alias is None or lists is None or not all(btf.has_field(*each) for each in needed):
        return None
    children, sibling = lists
    return PinShape(
        DentryShape(
            size=btf.sizeof("dentry"),
            count=btf.offsetof("dentry", "d_lockref") + btf.offsetof("lockref", "count"),
            parent=btf.offsetof("dentry", "d_parent"),
            superblock=btf.offsetof("dentry", "d_sb"),
            name=btf.offsetof("dentry", "d_name") + btf.offsetof("qstr", "name"),
            alias=btf.offsetof("dentry", alias),  # first in the union d_u, where that has a name
            sibling=btf.offsetof("dentry", sibling),
            children=btf.offsetof("dentry", children),
            circular=children == "d_subdirs",
        ),
        InodeShape(
            size=btf.sizeof("inode"),
            count=btf.offsetof("inode", "i_count"),
            dentries=btf.offsetof("inode", "i_dentry"),
            mapping=btf.offsetof("inode", "i_mapping"),
            data=btf.offsetof("inode", "i_data"),
            host=btf.offsetof("address_space", "host"),
        ),
    )


_CHILDREN = (("d_children", "d_sib"), ("d_subdirs", "d_child"))
