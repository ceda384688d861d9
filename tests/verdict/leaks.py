# SPDX-License-Identifier: Apache-2.0
"""Scenarios that leak, each with the objects of one owner.

The tables were measured once by hand, with `python -m tests.verdict.measure` (/proc/slabinfo before and after
1,000 owners, without slabtrace), on Linux 6.18.44.  Sizes are read from the kernel that records.
"""

from __future__ import annotations

from tests.verdict.loads import cgroups, files, messages, network, others, processes, sockets
from tests.verdict.scenario import Scenario

_MESSAGE = {"msg_msg-128": 1}
_TCP = {"TCP": 1}


def _leak(name: str, load: type, owner: str, each: dict[str, float], **more: object) -> Scenario:
    return Scenario(name, load, "leak", owner, each, **more)


LEAKS = (
    _leak("tcp-sockets", sockets.TcpSockets, "TCP", _TCP),
    _leak("tcp-settle", sockets.TcpSockets, "TCP", _TCP, options=("--settle",)),
    _leak("three-services", sockets.TcpService, "TCP", _TCP, seconds=60),
    _leak("eventfds", files.Eventfds, "filp", {}),
    _leak("pipes", files.Pipes, "filp", {}),
    _leak("pipes-random", files.RandomPipes, "filp", {}),
    _leak("unlinked-files", files.Unlinked, "filp", {}),
    _leak("unix-pairs", sockets.UnixPairs, "UNIX", {}),
    _leak("socket-siblings", sockets.AmongSessions, "TCP", _TCP, seconds=60),
    _leak("memfds", files.Memfds, "filp", {}),
    _leak("epoll-items", files.EpollItems, "eventpoll_epi", {}),
    _leak("inotify-watches", files.Watches, "inotify_inode_mark", {}),
    _leak("record-locks", files.RecordLocks, "file_lock_cache", {}),
    _leak("tmpfs-files", files.TmpfsFiles, "shmem_inode_cache", {}),
    _leak("xattrs", files.Attributes, "kmalloc-192", {}),
    _leak("mounts", files.Mounts, "mnt_cache", {}),
    _leak("messages-siblings", messages.AmongSiblings, "msg_msg-128", _MESSAGE, seconds=60),
    _leak("messages-rotated", messages.SlowMessages, "msg_msg-128", _MESSAGE, seconds=90,
        options=("--rotate", "10s", "--keep", "3")),
    _leak("messages-sampled", messages.ManyMessages, "msg_msg-128", _MESSAGE, sampled=True, options=("--sample", "1/16")),
    _leak("messages-between", messages.Messages, "msg_msg-128", _MESSAGE, between=(10, 30)),
    _leak("segments", messages.Segments, "filp", {}),
    _leak("signals", messages.Signals, "sigqueue", {}),
    _leak("udp-other-netns", sockets.OtherNamespace, "skbuff_head_cache", {}),
    _leak("udp-dead-senders", sockets.DeadSenders, "skbuff_head_cache", {}),
    _leak("files-in-flight", sockets.InFlight, "filp", {}),
    _leak("sleepers", processes.Sleepers, "task_struct", {}),
    _leak("live-on", processes.LiveOn, "task_struct", {}),
    _leak("zombies", processes.Zombies, "task_struct", {}),
    _leak("cgroup-dirs", cgroups.Directories, "kernfs_node_cache", {}),
    _leak("dying-cgroups", cgroups.DyingGroups, "shmem_inode_cache", {}),
    _leak("netns-kept", network.Namespaces, "net_namespace", {}),
    _leak("routes", network.Routes, "ip_fib_alias", {}),
    _leak("neighbours", network.Neighbours, "kmalloc-512", {}),
    _leak("keys", others.Keys, "key_jar", {}),
    _leak("timers", others.Timers, "posix_timers_cache", {}),
    _leak("bpf-elements", others.BpfElements, "kmalloc-512", {}),
)
