# SPDX-License-Identifier: Apache-2.0
"""What a recording of another tool can support: why it gives no leak list, and what else limits it.

kmem tracepoints do not report bulk allocations and frees, kfree_rcu and slabs that are given back.  So an
import is never exact; at best it is as complete as these tracepoints are.  A list of leaks needs more: that
frees were recorded, of each kind that was allocated, on every CPU.  Whether a list would look right does not
count: a recording of allocations alone lists every object as outstanding, real leaks among them.

Example: three recordings

    events                                                  CPUs             leak list
    7 kmalloc                                               all              none: no kfree was recorded
    4,209 kmalloc, 1,676 kmem_cache_alloc, all frees        1 of 4           none: 3 CPUs are missing
    14 kmalloc, 14 kfree                                    all              yes
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from slabtrace.trace.format.foreign import HASHED, KNOWN_LOSSES, UNKNOWN_LOSSES, Foreign
from slabtrace.trace.manifest import Manifest
from slabtrace.units import count, plural

MANY_LIVE = 10_000  # objects: with more, two hashed pointers are likely to be the same
CLOCK = (
    "Times may not compare between CPUs, as the clock is ftrace's own (local) or not known: what was freed "
    "on another CPU may seem freed before it was allocated, and look outstanding. Record with the clock mono."
)
HASHES = 1 << 33  # n objects have about n * n of these collisions: twice the 32-bit hashes
SLAB_FREES = "kfree and kmem_cache_free"
FREES_OF = {"kmalloc": "kfree", "kmem_cache_alloc": "kmem_cache_free"}
COMPARABLE = ("global", "counter", "mono", "boot", "tai", "real", "uptime", "perf", "x86-tsc")  # clocks


def refusals(manifest: Manifest) -> list[str]:
    """Why nothing can be said of leaks, in sentences; empty if something can, or slabtrace recorded it."""
    foreign = manifest.foreign
    if foreign is None:
        return []
    kinds = _merged(foreign.kinds)
    freed = {name: kinds.get(name, 0) for name in FREES_OF.values()}
    freed["kfree"] -= min(freed["kfree"], manifest.totals.null_frees)
    recorded = {name for name, number in freed.items() if number or name in (foreign.enabled or [])}
    return [*_no_frees(kinds, recorded), *_sampled(foreign), *_missing_cpus(foreign)]


def seen_all(manifest: Manifest) -> bool:
    """Whether a share of the allocations that were seen is known: else nothing is known of what was not."""
    foreign = manifest.foreign
    return foreign is None or not (foreign.losses == UNKNOWN_LOSSES or foreign.gaps or foreign.cpus_missing)


def limits(manifest: Manifest) -> list[str]:
    """What else limits the findings of an import, in sentences."""
    foreign = manifest.foreign
    if foreign is None:
        return []
    found = [
        f"This is a recording of {foreign.tool}: bulk frees and kfree_rcu fire no tracepoint, so objects "
        "freed that way look outstanding until their address is used again."
    ]
    absent = [name for name in FREES_OF if not _merged(foreign.kinds).get(name)]
    if absent:
        found.append(f"{' and '.join(absent)} were not recorded: other objects were not looked for.")
    if clock_is_local(foreign):
        found.append(CLOCK)
    if foreign.losses == UNKNOWN_LOSSES:
        found.append("Whether events were lost is not known: the recording would not show it.")
    if foreign.losses == KNOWN_LOSSES and known_losses(foreign):
        found.append(f"{known_losses(foreign)}: what was freed in these was not seen.")
    signs = [*foreign.filters, *foreign.suspected]
    if signs:
        found.append(f"It looks filtered ({'; '.join(signs)}): frees may be missing.")
    return found


def clock_is_local(foreign: Foreign) -> bool:
    """Whether times of different CPUs may not compare: ftrace's own clock, unless another one is named."""
    compare = foreign.clock.startswith(COMPARABLE)
    return foreign.tool in ("ftrace", "trace-cmd") and not compare and foreign.cpus != 1


def known_losses(foreign: Foreign) -> str:
    """As "673 events were lost, and 2 gaps are of unknown size"; empty if none are known."""
    lost, gaps, absent, overwritten = foreign.lost, foreign.gaps, foreign.absent, foreign.overwritten
    parts = [
        f"{plural(lost, 'event')} {'was' if lost == 1 else 'were'} lost" if lost else "",
        f"{plural(overwritten, 'older event')} {'was' if overwritten == 1 else 'were'} overwritten"
        if overwritten
        else "",
        f"{plural(gaps, 'gap')} {'is' if gaps == 1 else 'are'} of unknown size" if gaps else "",
        f"{plural(absent, 'recorded event')} {'is' if absent == 1 else 'are'} not in the file"
        if absent
        else "",
    ]
    return ", and ".join(filter(None, parts))


def collisions(foreign: Foreign, outstanding: int) -> str:
    """What hashed pointers mean for pairing, in a sentence; empty where pointers are addresses."""
    if foreign.pointers != HASHED:
        return ""
    live = max(foreign.peak, outstanding)
    expected = live * live / HASHES
    about = "0" if expected < 0.005 else f"{expected:.2g}"
    return (
        f"pointers are hashes of 32 bits, so pairs can be wrong: about {about} collisions among "
        f"{plural(live, 'object')} that were outstanding at one time"
    )


def _no_frees(kinds: Mapping[str, int], recorded: Collection[str]) -> list[str]:
    allocated = {name: kinds.get(name, 0) for name in FREES_OF if kinds.get(name, 0)}
    if allocated and not recorded:
        what = " and ".join(f"{count(number)} {name}" for name, number in allocated.items())
        return [
            f"Frees were not recorded ({what}, no free): nothing can be said of leaks. "
            f"Record {SLAB_FREES} as well, without a filter by size."
        ]
    return [
        f"Frees of these objects were not recorded ({count(number)} {name}, no {FREES_OF[name]}): nothing "
        f"can be said of leaks. Record {SLAB_FREES} as well."
        for name, number in allocated.items()
        if FREES_OF[name] not in recorded
    ]


def _sampled(foreign: Foreign) -> list[str]:
    if not foreign.sampled:
        return []
    return [
        "Not every event was recorded (perf record -c or -F): most frees were not seen, so nothing can be "
        "said of leaks. Record with -c 1."
    ]


def _missing_cpus(foreign: Foreign) -> list[str]:
    missing = len(foreign.cpus_missing)
    if not missing:
        return []
    names = ", ".join(map(str, foreign.cpus_missing[:8])) + (", …" if missing > 8 else "")
    return [
        f"{count(missing)} of {count(foreign.cpus)} CPUs are missing ({names}): what was freed there was not "
        "seen, so nothing can be said of leaks."
    ]


def _merged(kinds: Mapping[str, int]) -> dict[str, int]:
    """Events by tracepoint, those of a NUMA node with the others."""
    found: dict[str, int] = {}
    for name, number in kinds.items():
        stem = name.removesuffix("_node")
        found[stem] = found.get(stem, 0) + number
    return found
