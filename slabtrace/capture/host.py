# SPDX-License-Identifier: Apache-2.0
"""What machine and kernel this is, for the manifest."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

from slabtrace.capture import btf
from slabtrace.capture.kallsyms import Kallsyms
from slabtrace.capture.slab_walk import SlabCache
from slabtrace.trace.manifest import Host

_NOTES = Path("/sys/kernel/notes")
_POSSIBLE = Path("/sys/devices/system/cpu/possible")
_KFENCE_INTERVAL = Path("/sys/module/kfence/parameters/sample_interval")
_NT_GNU_BUILD_ID = 3


def possible_cpus() -> int:
    """One more than the highest CPU number that can ever be online (the kernel's nr_cpu_ids)."""
    try:
        return int(_POSSIBLE.read_text().strip().rpartition("-")[2].rpartition(",")[2]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


def build_id(path: Path = _NOTES) -> str:
    """The running kernel's build id in hex, "" if it has none.  Format: ELF notes."""
    try:
        notes = path.read_bytes()
    except OSError:
        return ""
    at = 0
    while at + 12 <= len(notes):
        name_size, desc_size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size].rstrip(b"\0")
        desc = at + 12 + (name_size + 3) // 4 * 4
        if name == b"GNU" and kind == _NT_GNU_BUILD_ID:
            return notes[desc : desc + desc_size].hex()
        at = desc + (desc_size + 3) // 4 * 4
    return ""


def describe(kallsyms: Kallsyms, caches: Iterable[SlabCache]) -> Host:
    """The host as the manifest tells it."""
    return Host(
        hostname=platform.node(),
        release=platform.release(),
        version=platform.version(),
        machine=platform.machine(),
        cpus=possible_cpus(),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        build_id=build_id(),
        stext=kallsyms.address("_stext"),
        btf=btf.VMLINUX.exists(),
        kfence=_kfence(),
        red_left_pad={cache.name: cache.red_left_pad for cache in caches if cache.red_left_pad},
    )


def _kfence() -> bool:
    """Whether KFENCE takes samples: it is built in, and its interval (ms) is not 0."""
    try:
        return int(_KFENCE_INTERVAL.read_text()) > 0
    except (OSError, ValueError):
        return False
