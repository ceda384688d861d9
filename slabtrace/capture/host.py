# SPDX-License-Identifier: Apache-2.0
"""The machine and the kernel, described for the manifest."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable
from pathlib import Path

from slabtrace.capture.kernel import btf
from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.kernel.modules import build_id
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.manifest import Host, OsRelease

_CPUS, _NODES = (Path(f"/sys/devices/system/{each}/possible") for each in ("cpu", "node"))
_ONLINE = Path("/sys/devices/system/cpu/online")
_NODE_FOLDERS = Path("/sys/devices/system/node")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_COMMAND_LINE = Path("/proc/cmdline")
_TAINTED = Path("/proc/sys/kernel/tainted")
_OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
_MOST_BYTES = 4096  # of each of these files
_LONGEST = 128  # characters of a value of os-release
_KFENCE_INTERVAL = Path("/sys/module/kfence/parameters/sample_interval")


def possible_cpus() -> int:
    """One more than the highest CPU number that can ever be online (the kernel's nr_cpu_ids)."""
    return _highest(_CPUS, (os.cpu_count() or 1) - 1) + 1


def online_cpus() -> int:
    """One more than the highest number of a CPU that is online now."""
    return _highest(_ONLINE, (os.cpu_count() or 1) - 1) + 1


def possible_nodes() -> int:
    """One more than the highest NUMA node number; 1 where the kernel has none."""
    return _highest(_NODES, 0) + 1


def _highest(listed: Path, otherwise: int) -> int:
    """The last number of a list such as "0-3,8"."""
    try:
        return int(listed.read_text().strip().rpartition("-")[2].rpartition(",")[2])
    except (OSError, ValueError):
        return otherwise


def cpu_nodes(nodes: Path = _NODE_FOLDERS) -> list[int]:
    """The NUMA node of each possible CPU; empty where the kernel does not list them."""
    found = {
        int(link.name.removeprefix("cpu")): int(node.name.removeprefix("node"))
        for node in nodes.glob("node[0-9]*")
        for link in node.glob("cpu[0-9]*")
    }
    return [found.get(cpu, 0) for cpu in range(possible_cpus())] if found else []


def describe(kallsyms: Kallsyms, caches: Iterable[SlabCache]) -> Host:
    """The host, as it is stored in the manifest."""
    return Host(
        hostname=platform.node(),
        release=platform.release(),
        version=platform.version(),
        machine=platform.machine(),
        cpus=possible_cpus(),
        cpu_nodes=cpu_nodes(),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        build_id=build_id(),
        stext=kallsyms.address("_stext"),
        btf=btf.VMLINUX.exists(),
        kfence=_kfence(),
        boot_id=_text(_BOOT_ID),
        os=os_release(),
        command_line=_text(_COMMAND_LINE),
        tainted=_tainted(),
        red_left_pad={cache.name: cache.red_left_pad for cache in caches if cache.red_left_pad},
    )


def os_release(files: Iterable[Path] = _OS_RELEASE) -> OsRelease:
    """The first of os-release(5)'s files that there is; its values may be quoted as in a shell."""
    text = next(filter(None, map(_text, files)), "")
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    known = {
        name: _unquoted(values.get(name.upper(), ""))[:_LONGEST] for name in OsRelease.__dataclass_fields__
    }
    return OsRelease(**known)


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:  # a quote is missing
        return value


def _tainted() -> int | None:
    try:
        return int(_text(_TAINTED))
    except ValueError:
        return None


def _text(path: Path) -> str:
    """The content of a file, cut at _MOST_BYTES; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def _kfence() -> bool:
    """Whether KFENCE takes samples: it is built in, and its interval (ms) is more than 0."""
    try:
        return int(_KFENCE_INTERVAL.read_text()) > 0
    except (OSError, ValueError):
        return False
