# SPDX-License-Identifier: Apache-2.0
"""What keeper.py keeps: found by the names or file descriptors that it says, and the right holders of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from slabtrace.capture.inspecting.holders.chains import Chain
from slabtrace.capture.inspecting.inspector import Inspector
from slabtrace.capture.inspecting.kinds.kind import narrow
from slabtrace.capture.inspecting.kinds.paths import dentry_paths
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.schema import Held
from tests.live import keeper

COUNT = 211
ENDS_S = 180  # at most, for a keeper to end


@contextmanager
def kept(kind: str) -> Iterator[dict[str, Any]]:
    """A keeper of COUNT objects; what it printed."""
    argv = [sys.executable, "-m", "tests.live.keeper", kind, str(COUNT)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the keeper of {kind} failed"
        yield json.loads(line)
        process.stdin.close()
        assert process.wait(ENDS_S) == 0


def described(inspector: Inspector, cache: str, kind: str, text: str) -> UInt64:
    """The objects of a cache whose description has a text."""
    things = inspector.things(inspector.all_of(cache).address)
    return np.array([each.address for each in things if each.kind == kind and text in each.text], np.uint64)


def children_of(inspector: Inspector, folder: str) -> UInt64:
    """The dentries in a folder."""
    dentries = inspector.all_of("dentry")
    parents = dentries.u64(inspector.scene.layout["dentry.d_parent"])
    several = np.unique(parents)
    paths = dict(zip(dentry_paths(inspector.scene, several), several.tolist(), strict=True))
    return dentries.address[parents == np.uint64(paths[folder])]


def messages_of(inspector: Inspector) -> UInt64:
    """Messages by their length: before 6.11 they are kmallocs."""
    names = [each.name for each in inspector.machine.caches.values() if each.name.startswith("msg_msg-")]
    if names:
        found = [described(inspector, name, "message", f"{keeper.MESSAGE} bytes") for name in names]
        return np.concatenate(found)
    found = []
    length, size = inspector.scene.layout["msg_msg.m_ts"], inspector.machine.fields.size("msg_msg")
    assert size is not None
    for cache in inspector.machine.caches.values():
        if cache.name.startswith("kmalloc") and cache.size >= size + keeper.MESSAGE:
            objects = inspector.all_of(cache.name)
            if not len(objects.address):
                continue
            mine = objects.u64(length) == np.uint64(keeper.MESSAGE)
            text = np.ascontiguousarray(objects.words).view(np.uint8)[:, size : size + keeper.MESSAGE]
            found.append(objects.address[mine & ~text.any(1)])
    return np.concatenate(found)


def events_of(inspector: Inspector) -> UInt64:
    """Events of inotify, by the name in them: they are kmallocs."""
    place, name = inspector.machine.fields.offset_of("inotify_event_info.name"), b"unread-"
    assert place is not None
    found = []
    for cache in inspector.machine.caches.values():
        if cache.name.startswith("kmalloc") and cache.size >= place + len(name) + 6:
            objects = inspector.all_of(cache.name)
            if not len(objects.address):
                continue
            raw = np.ascontiguousarray(objects.words).view(np.uint8)[:, place : place + len(name)]
            found.append(objects.address[(raw == np.frombuffer(name, np.uint8)).all(1)])
    return np.concatenate(found)


def select(kind: str, inspector: Inspector, truth: dict[str, Any]) -> UInt64:
    """The keeper's objects, perhaps with objects of other keepers."""
    scene = inspector.scene
    if kind in ("in_flight", "ring_files"):
        return described(inspector, "filp", "file", f"{truth['name']}/kept-")
    if kind == "unaccepted":
        found = described(inspector, "TCP", "sock", f":{truth['port']} → ")
        return found[scene.words(found, "sock.sk_socket") == 0]
    if kind == "datagrams":
        packets = inspector.all_of("skbuff_head_cache")
        length = narrow(packets, scene.layout["sk_buff.len"], 4)
        return packets.address[length == keeper.DATAGRAM]
    if kind == "negative_dentries":
        return children_of(inspector, truth["name"])
    if kind == "keys":
        return described(inspector, "key_jar", "key", f"user kept-{truth['pid']}-")
    if kind == "timers":
        return described(inspector, "posix_timers_cache", "timer", "CLOCK_MONOTONIC")
    if kind == "epoll_items":
        return described(inspector, "eventpoll_epi", "epoll item", "anon_inode:[eventfd]")
    return messages_of(inspector) if kind == "messages" else events_of(inspector)


def ends(kind: str, chain: Chain, truth: dict[str, Any]) -> bool:
    """Is it the right holder?"""
    last = chain.steps[-1].what if chain.steps else ""
    if kind == "negative_dentries":
        return chain.worth == Held.OWNER and f" {truth['name']} on " in last
    if kind == "keys":
        return f"keyring {truth['keyring']} " in chain.steps[0].what
    process = f"(pid {truth['pid']})"
    right = chain.worth == Held.PROCESS and process in last
    return right and (kind == "timers" or last.startswith(f"fd {truth['fd']} of "))


KIND_NAMES = {
    "in_flight": "file", "ring_files": "file", "unaccepted": "sock", "datagrams": "sk_buff",
    "epoll_items": "epoll item", "inotify_events": "fsnotify event", "keys": "key", "messages": "message",
    "timers": "timer", "negative_dentries": "dentry",
}  # fmt: skip
