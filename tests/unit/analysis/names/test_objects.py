# SPDX-License-Identifier: Apache-2.0
"""What an object is, by its stack: stacks of real recordings (Linux 6.18, caches merged), and wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from slabtrace.analysis.names import known_objects
from slabtrace.analysis.names.cache_names import LARGE
from slabtrace.analysis.names.frames import comparable_function
from slabtrace.analysis.names.known_objects import KINDS, PASSED_THROUGH, WITHIN
from slabtrace.analysis.names.objects import (
    OTHER,
    alias_of,
    also,
    in_table,
    kind_named,
    kind_of,
    many,
    shown,
    summary,
)

UNIX = ["UNIX", "UNIX-STREAM"]
EPOLL = ["fib6_node", "pte_list_desc", "tcp_bind2_bucket", "tcp_bind_bucket"]
MARKS = ["dnotify_mark", "fanotify_mark", "inotify_inode_mark"]
LOCKS = ["aio_kiocb", "inet_peer", "mfc6_cache"]

DGRAM = "__alloc_skb alloc_skb_with_frags sock_alloc_send_pskb __ip_append_data ip_make_skb udp_sendmsg"
TMPFS = "shmem_alloc_inode alloc_inode new_inode __shmem_get_inode __shmem_file_setup"
SEGMENT = "inode of a shared memory segment"
FILE = "__kernfs_new_node kernfs_new_node __kernfs_create_file cgroup_addrm_files"
TIMERS = ["posix_timers_cache"]
LONG = "mnt_cache (also posix_timers_cache)"
NODES, NODE = "kernfs_node_cache", ["kvm_async_pf"]

KNOWN = [
    # cache, aliases, stack, object, alias
    ("signal_cache", UNIX, "sk_prot_alloc sk_alloc unix_create1 unix_create", "UNIX socket", ""),
    ("signal_cache", UNIX, "copy_process kernel_clone", "signal state of a process", "signal_cache"),
    ("mnt_cache", TIMERS, "do_timer_create __x64_sys_timer_create", "POSIX timer", TIMERS[0]),
    ("mnt_cache", TIMERS, "alloc_vfsmnt clone_mnt path_mount", "mount", "mnt_cache"),
    ("posix_timers_cache", [], "alloc_posix_timer do_timer_create", "POSIX timer", ""),
    ("sigqueue", MARKS, "inotify_update_watch __x64_sys", "inotify watch", "inotify_inode_mark"),
    ("sigqueue", MARKS, "__send_signal_locked do_notify_parent", "queued signal", "sigqueue"),
    ("eventpoll_epi", EPOLL, "do_epoll_ctl __x64_sys_epoll_ctl", "epoll item", "eventpoll_epi"),
    ("eventpoll_epi", EPOLL, "inet_bind_bucket_create inet_csk_get_port", "TCP port", "tcp_bind_bucket"),
    ("file_lock_cache", LOCKS, "posix_lock_inode fcntl_setlk", "file lock", "file_lock_cache"),
    ("UDP", ["PINGv6", "UDP-Lite"], "sk_prot_alloc sk_alloc inet_create", "UDP socket", "UDP"),
    ("TCP", [], "sk_prot_alloc sk_alloc inet_create", "TCP socket", ""),
    ("filp", [], "alloc_empty_file alloc_file_pseudo sock_alloc_file __sys_socket", "open socket", ""),
    ("filp", [], "alloc_empty_file path_openat do_filp_open", "open file", ""),
    ("kmalloc-64", [], "do_eventfd __x64_sys_eventfd2", "eventfd", ""),
    ("kmalloc-rnd-05-64", [], "do_eventfd __x64_sys_eventfd2", "eventfd", ""),
    ("kmalloc-1k", [], "psi_cgroup_alloc cgroup_mkdir", "part of a cgroup", ""),
    (NODES, NODE, FILE, "file of a cgroup", NODES),
    ("kmalloc-64", [], "fib_notifier_ops_register fib6_net_init ops_init", "part of a network namespace", ""),
    ("kmalloc-128", [], "alloc_slab_obj_exts alloc_pid", "bookkeeping of the slab allocator", ""),
    ("skbuff_head_cache", [], DGRAM, "UDP datagram", ""),
    ("kmalloc-1k", [], DGRAM, "data of a UDP datagram", ""),
    ("msg_msg-128", [], "load_msg do_msgsnd", "message in a queue", ""),
    ("dentry", [], "", "dentry", ""),
    ("shmem_inode_cache", [], f"{TMPFS} __do_sys_memfd_create", "inode of a memory file", ""),
    ("shmem_inode_cache", [], f"{TMPFS} shmem_kernel_file_setup newseg", SEGMENT, ""),
    ("shmem_inode_cache", [], "shmem_alloc_inode alloc_inode new_inode shmem_mknod", "inode of tmpfs", ""),
    ("inode_cache", [], "alloc_inode path_from_stashed proc_ns_get_link", "inode of a namespace", ""),
    ("inode_cache", [], "alloc_inode path_from_stashed pidfs_alloc_file", "inode of a pidfd", ""),
    ("inode_cache", [], "alloc_inode some_filesystem_get_inode", "inode", ""),
]  # fmt: skip


@pytest.mark.parametrize(("cache", "aliases", "stack", "name", "alias"), KNOWN)
def test_the_allocation_says_what_an_object_is(
    cache: str, aliases: list[str], stack: str, name: str, alias: str
) -> None:
    frames = [f"{each}+0x1a" for each in stack.split()]
    kind = kind_of(cache, aliases, frames[0] if frames else "", frames)
    assert kind is not None and (kind.name, alias_of(kind, cache, aliases)) == (name, alias)
    assert kind_of(cache, aliases, "", frames) == kind


@pytest.mark.parametrize(
    ("cache", "aliases", "stack"),
    [
        ("signal_cache", UNIX, ""),
        ("signal_cache", UNIX, "sk_prot_alloc sk_alloc my_create"),
        (
            "signal_cache",
            UNIX,
            "my_helper unix_create1",
        ),  # a helper that is not known allocates something else
        ("mnt_cache", ["other"], "do_timer_create"),  # no cache of POSIX timers
        ("kmalloc-64", [], "unix_create1"),
        ("kmalloc-64", [], "my_alloc do_eventfd"),
        ("RAW", ["PING"], "sk_prot_alloc sk_alloc inet_create"),  # either of two
        ("kmalloc-64", [], "0xffffffff81000000"),
        ("(unknown)", [], "x"),
    ],
)
def test_what_is_not_certain_is_not_said(cache: str, aliases: list[str], stack: str) -> None:
    frames = [f"{each}+0x1a" for each in stack.split()]
    assert kind_of(cache, aliases, frames[0] if frames else "", frames) is None


def test_suffixes_of_the_compiler_and_of_profiling_do_not_matter() -> None:
    stack = ["sk_prot_alloc.constprop.0+0x1", "sk_alloc_noprof+0x2", "unix_create1.isra.0+0x3"]
    kind = kind_of("signal_cache", UNIX, stack[0], stack)
    assert kind is not None and kind.name == "UNIX socket"


@pytest.mark.parametrize(
    ("cache", "aliases", "held", "symbol", "text", "brief"),
    [
        (
            "signal_cache", UNIX, "UNIX socket", "sk_prot_alloc+0x3c",
            "signal_cache (merged; UNIX sockets by sk_prot_alloc)", "signal_cache (UNIX sockets)",
        ),
        ("mnt_cache", TIMERS, "", "f+0x1", LONG, LONG),
        ("a", list("bcdefg"), "", "f+0x1", "a (also b, c, d and 3 more)", "a (also b and 5 more)"),
        ("filp", [], "open file", "f+0x1", "filp (open files)", "filp"),
        ("kmalloc-64", [], "eventfd", "f+0x1", "kmalloc-64 (eventfds)", "kmalloc-64 (eventfds)"),
        ("dentry", [], "dentry", "f+0x1", "dentry", "dentry"),
        ("TCP", [], "", "f+0x1", "TCP", "TCP"),
        (LARGE, [], "order 2", "f+0x1", "large kmalloc, order 2", "large kmalloc, order 2"),
        ("s", ["t"], "UNIX socket, other", "", "s (merged; UNIX sockets, other)", "s (UNIX sockets, other)"),
    ],
)  # fmt: skip
def test_the_name_shown(
    cache: str, aliases: list[str], held: str, symbol: str, text: str, brief: str
) -> None:
    assert shown(cache, aliases, held, symbol) == text
    assert shown(cache, aliases, held, symbol, brief=True) == brief


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        (("mnt_cache", "posix_timers_cache", TIMERS, "POSIX timer"), "posix_timers_cache"),
        (("signal_cache", "", UNIX, "UNIX socket"), "signal_cache (UNIX sockets)"),
        (("mnt_cache", "", TIMERS, ""), LONG),
        (("kmalloc-64", "", [], "eventfd"), "kmalloc-64"),
        ((LARGE, "", [], "order 2"), "large kmalloc, order 2"),
    ],
)
def test_the_cell_of_a_table(row: tuple[Any, ...], cell: str) -> None:
    assert in_table(dict(zip(("cache", "alias", "aliases", "object"), row, strict=True))) == cell


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("UNIX socket", "UNIX sockets"), ("dentry", "dentries"), ("key", "keys"),
        ("inotify watch", "inotify watches"),
        ("inode of a pipe", "inodes of a pipe"), ("message in a queue", "messages in a queue"),
        ("TCP socket (IPv6)", "TCP sockets (IPv6)"), ("credentials", "credentials"),
        ("data of a UDP datagram", "data of a UDP datagram"), ("address space", "address spaces"),
    ],
)  # fmt: skip
def test_plurals(name: str, plural: str) -> None:
    assert many(name) == plural


def test_a_summary_says_that_there_are_others() -> None:
    assert summary([]) == summary([""]) == ""
    assert summary(["a", "b", "a"]) == "a, b"
    assert summary(["", "a"]) == "a, other"
    assert summary("abcd") == "a, b, c, other"


def test_aliases_are_bounded() -> None:
    assert also([f"a{n}" for n in range(100)]) == "also a0, a1, a2 and 97 more"


def test_the_table_is_sound() -> None:
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names)), "a name is a key"
    for kind in KINDS:
        assert kind.functions or kind.caches
        assert ", " not in kind.name and kind.name != OTHER
        assert kind.struct == "" or kind.struct.startswith("struct ")
        assert len(kind.holders) <= 110, kind.name
        assert kind_named(kind.name) is kind
        for name in kind.functions.split():
            assert comparable_function(f"{name}+0x1") == name, "spelt as it is looked up"
    assert all(kind_named(name) for name in WITHIN.values())
    assert "copy_process" not in PASSED_THROUGH
    assert not set(WITHIN) & PASSED_THROUGH
    assert "Linux" in (known_objects.__doc__ or "")
