# SPDX-License-Identifier: Apache-2.0
"""What people call a cgroup: its systemd unit, its container, its pod; all from its path.

Paths of systemd: the units and slices it makes (systemd.slice(5)).  Of containers: docker and libpod use
PREFIX-ID.scope under systemd and /PREFIX/ID without it, containerd and CRI-O as the kubelet asks for
(pkg/kubelet/cm: kubepods[-besteffort|-burstable]-podUID.slice, or /kubepods/besteffort/podUID), LXC
lxc.payload.NAME, systemd-nspawn machine-NAME.scope.

Example: /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2e.slice/crio-4b…9.scope is
container 4b…9 of pod 1f-2e; unit crio-4b…9.scope.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_UNIT = re.compile(r"\.(service|scope|slice|socket|mount|swap)$")
_ID = "[0-9a-f]{64}"
_CONTAINERS = (
    re.compile(
        rf"^(?:[a-z][a-z0-9_.]*-)*({_ID})(?:\.scope)?$"
    ),  # docker-ID.scope, cri-containerd-ID.scope, ID
    re.compile(r"^lxc\.payload\.(.+)$"),
    re.compile(r"^lxc\.monitor\.(.+)$"),
    re.compile(r"^machine-(.+)\.scope$"),
)
_POD = re.compile(r"^(?:kubepods(?:-besteffort|-burstable)?-)?pod([0-9a-f][0-9a-f_-]{7,})(?:\.slice)?$")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class CgroupName(NamedTuple):
    """Of one path; empty where it has none."""

    unit: str = ""
    container: str = ""
    pod: str = ""


def cgroup_name(path: str) -> CgroupName:
    """The names in a path such as /proc/PID/cgroup has.  Hostile text: escape it before showing it."""
    parts = [each for each in path.split("/") if each]
    units = [each for each in parts if _UNIT.search(each)]
    others = [each for each in units if not each.endswith(".slice")]
    containers = [name for part in parts if (name := _container(part))]
    pods = [found[1].replace("_", "-") for part in parts if (found := _POD.match(part))]
    return CgroupName(
        unit=_unescaped((others or units or [""])[-1]),
        container=_unescaped(containers[-1]) if containers else "",
        pod=pods[-1] if pods else "",
    )


def _container(part: str) -> str:
    for pattern in _CONTAINERS:
        if found := pattern.match(part):
            return found[1]
    return ""


def _unescaped(name: str) -> str:
    """systemd writes what it cannot have in a name as \\\\x2d (systemd.unit(5))."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
