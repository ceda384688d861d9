# SPDX-License-Identifier: Apache-2.0
"""Objects of one owner, by cache: what really hangs on it.

Measured once by hand on Linux 6.18.44 with `python -m tests.verdict.measure` (/proc/slabinfo before and after
some hundred owners, without slabtrace), and rounded: slabinfo also counts what other processes do.  Where the
kernel says the number elsewhere it is that one: 18 files of a control group, 23 mappings of `sleep` in
/proc/PID/maps.  Sizes are not here: they are read from the kernel that records.

The tables from NAME on are of what a finding may have or not: the kernel can give it up (a name, an inode
that was looked up), several owners share it (nodes of a tree), or it comes from a reserve (kernel stacks).
"""

from __future__ import annotations

FILE = {"filp": 1, "lsm_file_cache": 1}
INODE = {"dentry": 1, "lsm_inode_cache": 1}
LONG_NAME = {"kmalloc-rcl-96": 1}  # of more than 39 characters

TCP = {"TCP": 1, "sock_inode_cache": 1, **FILE, **INODE}
UNIX_PAIR = dict.fromkeys(("UNIX", "sock_inode_cache", *FILE, *INODE), 2)
DATAGRAM = {"skbuff_head_cache": 1, "kmalloc-1k": 1}
IN_FLIGHT = {"skbuff_head_cache": 1, "kmalloc-cg-512": 1, "kmalloc-cg-4k": 1, "filp": 3, "lsm_file_cache": 3}

EVENTFD = {**FILE, "dentry": 1, "kmalloc-64": 1}  # all share one inode
TIMERFD = {**FILE, "dentry": 1, "kmalloc-256": 1}
EPOLL = {**FILE, "dentry": 1, "kmalloc-256": 1}
PIPE = {"filp": 2, "lsm_file_cache": 2, **INODE, "inode_cache": 1, "kmalloc-cg-1k": 1, "kmalloc-cg-192": 1}
UNLINKED = {"ext4_inode_cache": 1, **FILE, **INODE, **LONG_NAME}
SHMEM = {"shmem_inode_cache": 1, **INODE}
MEMFD = {**SHMEM, **FILE}
SEGMENT = {**MEMFD, "kmalloc-cg-256": 1}
TMPFS_FILE = {**SHMEM, **LONG_NAME}
EPOLL_ITEM = {"eventpoll_epi": 1, "eventpoll_pwq": 1}
WATCH = {"inotify_inode_mark": 1, "fsnotify_mark_connector": 1}
ATTRIBUTE = {"kmalloc-cg-192": 1, "kmalloc-cg-64": 1}
MOUNT = {"mnt_cache": 1, "kmalloc-32": 1, "kmalloc-cg-16": 1}

MESSAGE = {"msg_msg-128": 1}
KEY = {"key_jar": 1, "kmalloc-2k": 1, "kmalloc-64": 1}
ROUTE = {"ip_fib_alias": 1, "ip_fib_trie": 1}

ZOMBIE = {"task_struct": 1, "signal_cache": 1, "sighand_cache": 1, "pid": 1, "cred": 1, "kmalloc-cg-16": 1}

# A directory and 18 files; of their names 13 have at most 15 characters, the directory's has 40.
CGROUP = {
    "kernfs_node_cache": 19, "kmalloc-4k": 1, "kmalloc-1k": 1, "kmalloc-256": 1, "kmalloc-64": 4,
    "kmalloc-32": 5, "kmalloc-16": 13,
}  # fmt: skip
MEMCG = {
    "mem_cgroup": 1, "pool_workqueue": 1, "kernfs_node_cache": 1, "kmalloc-cg-2k": 1, "kmalloc-cg-1k": 1,
    "kmalloc-4k": 1, "kmalloc-1k": 2, "kmalloc-64": 5, "kmalloc-32": 1,
}  # fmt: skip
NETNS = {
    "net_namespace": 1, "RAWv6": 4, "UDP": 1, "sock_inode_cache": 13, "lsm_inode_cache": 14, "inode_cache": 1,
    **FILE, "dentry": 1, "proc_dir_entry": 68, "kernfs_node_cache": 74, "radix_tree_node": 2,
    "kmalloc-cg-4k": 9, "kmalloc-cg-2k": 10, "kmalloc-cg-1k": 3, "kmalloc-cg-512": 7, "kmalloc-cg-256": 5,
    "kmalloc-cg-192": 7, "kmalloc-cg-128": 5, "kmalloc-cg-64": 2,
    "kmalloc-8k": 2, "kmalloc-4k": 7, "kmalloc-2k": 18, "kmalloc-1k": 9, "kmalloc-512": 12, "kmalloc-256": 14,
    "kmalloc-192": 42, "kmalloc-128": 3, "kmalloc-96": 4, "kmalloc-64": 36, "kmalloc-32": 10, "kmalloc-16": 3,
    "kmalloc-8": 9,
}  # fmt: skip

NAME = {"dentry": 1, **LONG_NAME}
DIRECTORY = {**NAME, "radix_tree_node": 0.3}
KEYRING = {"kmalloc-192": 0.2}
CHARGES = {"kmalloc-128": 1 / 16}  # one a slab of kmalloc-cg-512: who is charged for each object
LOOKED_UP = {"proc_inode_cache": 2, "dentry": 4, "lsm_inode_cache": 4}
STACK = {"vmap_area": 2, "kmalloc-192": 2, "kmalloc-96": 1, "kmalloc-32": 1}
