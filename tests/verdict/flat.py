# SPDX-License-Identifier: Apache-2.0
"""Scenarios that leak nothing: what they hold is given back, is bounded, or the kernel can give it up."""

from __future__ import annotations

from tests.verdict.loads import cgroups, files, messages, network, others, processes, sockets
from tests.verdict.loads.load import Load
from tests.verdict.scenario import EVERYWHERE, Scenario

GROWING = (*EVERYWHERE, "growing")  # of a load that really holds more at the end


def _flat(name: str, load: type[Load], **more: object) -> Scenario:
    return Scenario(name, load, "flat", **more)


FLAT = (
    _flat("message-ring", messages.Ring, seconds=60),
    _flat("warm-up", messages.WarmUp, begins="with"),
    _flat("waves", sockets.Waves),
    _flat("ramp", sockets.Ramp, begins="with", may=GROWING),
    _flat("daemon-start", processes.DaemonStart, begins="with", also_first=10.0),
    _flat("killed-recorder", processes.Forks, killed=True),
    _flat("missing-names", files.MissingNames),
    _flat("fifos", files.Fifos),
    _flat("read-once", files.ReadOnce),
    _flat("socket-churn", sockets.SocketChurn),
    _flat("socket-pool", sockets.Pool, begins="with"),
    _flat("socket-batches", sockets.Collected),
    _flat("long-sessions", sockets.LongSessions),
    _flat("mixed-sessions", sockets.MixedSessions),
    _flat("udp-late-reader", sockets.LateReader),
    _flat("udp-full-buffer", sockets.FullBuffer),
    _flat("files-received", sockets.Received),
    _flat("time-wait", sockets.TimeWait, lead=63.0),
    _flat("eventfd-churn", files.EventfdChurn),
    _flat("timerfd-churn", files.TimerfdChurn),
    _flat("pipe-ring", files.PipeRing),
    _flat("memfd-ring", files.MemfdRing),
    _flat("epoll-churn", files.EpollChurn),
    _flat("inotify-churn", files.WatchChurn),
    _flat("inotify-read", files.ReadEvents),
    _flat("lock-churn", files.LockChurn),
    _flat("tmpfs-ring", files.TmpfsRing),
    _flat("xattr-churn", files.AttributeChurn),
    _flat("mount-churn", files.MountChurn),
    _flat("segment-ring", messages.SegmentRing),
    _flat("signals-taken", messages.SignalsTaken),
    _flat("workers", processes.Workers),
    # programs that are started and live on: more is held, but each gives it back when it ends
    _flat("sleepers", processes.Sleepers, may=GROWING),
    _flat("live-on", processes.LiveOn, may=GROWING),
    _flat("cron", processes.Cron),
    _flat("cgroup-churn", cgroups.DirectoryChurn),
    _flat("gone-cgroups", cgroups.GoneGroups),
    _flat("netns-churn", network.NamespaceChurn),
    _flat("route-flaps", network.RouteFlaps),
    _flat("key-churn", others.KeyChurn),
    _flat("timer-churn", others.TimerChurn),
    _flat("bpf-churn", others.BpfChurn),
)
