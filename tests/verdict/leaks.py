# SPDX-License-Identifier: Apache-2.0
"""Scenarios that leak.  Their tables hold the objects of one owner, by cache: tests/verdict/owners.py."""

from __future__ import annotations

from collections.abc import Mapping

from tests.verdict import owners
from tests.verdict.loads import cgroups, files, messages, network, others, processes, sockets
from tests.verdict.loads.load import Load
from tests.verdict.scenario import Scenario


def _leak(name: str, load: type[Load], owner: str, each: Mapping[str, float], **more: object) -> Scenario:
    return Scenario(name, load, "leak", owner, each, **more)


LEAKS = (
    _leak("tcp-sockets", sockets.TcpSockets, "TCP", owners.TCP),
    _leak("tcp-settle", sockets.TcpSockets, "TCP", owners.TCP, options=("--settle",)),
    _leak("three-services", others.ThreeServices, "TCP", owners.TCP, seconds=60),
    _leak("socket-siblings", sockets.AmongSessions, "TCP", owners.TCP, seconds=60, by_rate=True),
    _leak("unix-pairs", sockets.UnixPairs, "UNIX", owners.UNIX_PAIR),
    _leak("eventfds", files.Eventfds, "filp", owners.EVENTFD),
    _leak("timerfds", files.Timerfds, "filp", owners.TIMERFD),
    _leak("epolls", files.Epolls, "filp", owners.EPOLL),
    _leak("pipes", files.Pipes, "filp", owners.PIPE),
    _leak("pipes-random", files.RandomPipes, "filp", owners.PIPE),
    _leak("unlinked-files", files.Unlinked, "filp", owners.UNLINKED),
    _leak("memfds", files.Memfds, "filp", owners.MEMFD),
    _leak("epoll-items", files.EpollItems, "eventpoll_epi", owners.EPOLL_ITEM),
    _leak("inotify-watches", files.Watches, "inotify_inode_mark", owners.WATCH),
    _leak("inotify-unread", files.UnreadEvents, "kmalloc-cg-64", {"kmalloc-cg-64": 1}),
    _leak("record-locks", files.RecordLocks, "file_lock_cache", {"file_lock_cache": 1}),
    _leak("tmpfs-files", files.TmpfsFiles, "shmem_inode_cache", owners.TMPFS_FILE),
    _leak("xattrs", files.Attributes, "kmalloc-cg-192", owners.ATTRIBUTE),
    _leak("mounts", files.Mounts, "mnt_cache", owners.MOUNT),
    _leak(
        "messages-siblings", messages.AmongSiblings, "msg_msg-128", owners.MESSAGE, seconds=60, by_rate=True
    ),
    _leak(
        "messages-rotated", messages.SlowMessages, "msg_msg-128", owners.MESSAGE, seconds=90,
        options=("--rotate", "10s", "--keep", "3"),
    ),
    _leak(
        "messages-sampled", messages.ManyMessages, "msg_msg-128", owners.MESSAGE, by_rate=True,
        options=("--sample", "1/16"),
    ),
    _leak("messages-between", messages.Messages, "msg_msg-128", owners.MESSAGE, between=(10, 30)),
    _leak("segments", messages.Segments, "filp", owners.SEGMENT),
    _leak("signals", messages.Signals, "sigqueue", {"sigqueue": 1}),
    _leak("udp-other-netns", sockets.OtherNamespace, "skbuff_head_cache", owners.DATAGRAM),
    _leak("udp-dead-senders", sockets.DeadSenders, "skbuff_head_cache", owners.DATAGRAM),
    _leak("files-in-flight", sockets.InFlight, "filp", owners.IN_FLIGHT),
    _leak("zombies", processes.Zombies, "task_struct", owners.ZOMBIE, perhaps=owners.STACK),
    _leak("cgroup-dirs", cgroups.Directories, "kernfs_node_cache", owners.CGROUP, perhaps=owners.DIRECTORY),
    _leak(
        "dying-cgroups", cgroups.DyingGroups, "mem_cgroup", owners.MEMCG,
        perhaps=owners.NAME, beside=owners.TMPFS_FILE,
    ),
    _leak("netns-kept", network.Namespaces, "net_namespace", owners.NETNS, perhaps=owners.LOOKED_UP),
    _leak("routes", network.Routes, "ip_fib_alias", owners.ROUTE),
    _leak("neighbours", network.Neighbours, "kmalloc-512", {"kmalloc-512": 1}),
    _leak("keys", others.Keys, "key_jar", owners.KEY, perhaps=owners.KEYRING),
    _leak("timers", others.Timers, "posix_timers_cache", {"posix_timers_cache": 1}),
    _leak(
        "bpf-elements", others.BpfElements, "kmalloc-cg-512", {"kmalloc-cg-512": 1},
        perhaps=owners.CHARGES,
    ),
)  # fmt: skip
