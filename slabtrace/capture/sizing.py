# SPDX-License-Identifier: Apache-2.0
"""How large the rings and stack maps of a recording are: by the CPUs that are online and the memory there is.

Firmware and hypervisors announce many more CPUs than there are: 128 possible ones with 4 online are common.
So the CPUs that are online get their rings first, and the others as far as the default share of memory goes.
A CPU without a ring loses its events, if it comes online while recording, and they are counted.

Example: 8 GiB, 4 CPUs online of 128 possible.  All rings may take 512 MiB: up to 64 MiB of task events (56,
for the number of slots is a power of two) for each of 9 CPUs.  If all 128 were online, it would be 4 MiB.
"""

from __future__ import annotations

from slabtrace.capture.host import online_cpus, possible_cpus
from slabtrace.capture.options import BUFFER_SHARE, DEFAULT_BUFFER_MIB
from slabtrace.capture.process.memory_limit import cgroup_limit, usable_memory
from slabtrace.capture.stream.rings import REPEATS, RingGeometry
from slabtrace.errors import UsageError


def ring_geometry(
    buffer_mib: int | None,
    default_mib: int = DEFAULT_BUFFER_MIB,
    largest_map: int | None = None,
    repeats: int = REPEATS,
) -> RingGeometry:
    """Rings whose lane 0 takes up to `buffer_mib` MiB per CPU: its slots are a power of two.

    None: `default_mib`, or less where memory is small.  `largest_map`: bytes that the slots of all rings may
    take at most.  Raises UsageError for less than 1 MiB, or for more than half of the memory.
    """
    memory, online = usable_memory(), online_cpus()
    if buffer_mib is None:
        mib = max(1, min(default_mib, memory // BUFFER_SHARE // online >> 20))
    elif buffer_mib < 1 or buffer_mib * online << 20 > memory // 2:
        raise _impossible(buffer_mib, online, memory)
    else:
        mib = buffer_mib
    slot_bytes = RingGeometry(1, 1, repeats).slot_bytes
    slots = 1 << (((mib << 20) // slot_bytes).bit_length() - 1)
    cpus = _with_room(online, slots * slot_bytes, memory)
    while largest_map is not None and RingGeometry(cpus, slots, 0).bytes > largest_map:
        cpus, slots = (cpus - 1, slots) if cpus > online else (cpus, slots // 2)
    return RingGeometry(cpus, slots, repeats)


def _with_room(online: int, bytes_per_cpu: int, memory: int) -> int:
    """How many CPUs get a ring: those online, and those that may come as far as memory's share goes."""
    return max(online, min(possible_cpus(), memory // BUFFER_SHARE // bytes_per_cpu))


def _impossible(buffer_mib: int, cpus: int, memory: int) -> UsageError:
    of = "the memory that this cgroup may use" if cgroup_limit() else "the memory"
    return UsageError(
        f"--buffer {buffer_mib} is not possible: that many MiB for each of {cpus} CPUs",
        f"use 1 to {max(1, memory // 2 // cpus >> 20)} (at most half of {of} for all CPUs)",
    )
