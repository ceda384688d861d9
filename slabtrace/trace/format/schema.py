# SPDX-License-Identifier: Apache-2.0
"""The trace format: the files of a NAME.slab folder, their columns, and the enums stored in them.

Values of enums are on disk: they are explicit, and new ones are only appended.  A change that an older reader
would misread raises MAJOR; a new file or column raises MINOR.  The files and how they fit together:
docs/trace-format.md.  Times are CLOCK_MONOTONIC in ns, sizes are bytes, addresses are those of the kernel.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import pyarrow as pa

FORMAT = "slabtrace"
MAJOR = 2
MINOR = 3

MANIFEST = "manifest.json"
EVENTS_DIR = "events"
CARRIED_DIR = "carried"


class Kind(IntEnum):
    """What an event is.  Values equal `enum slab_event_kind` in bpf/event.h; frees carry 0x10."""

    KMALLOC = 0x01
    CACHE_ALLOC = 0x02
    BULK_ALLOC = 0x03
    NOLOCK_ALLOC = 0x04
    PERCPU_ALLOC = 0x05  # of per-CPU memory (2.3): `ptr` is a per-CPU pointer, `bytes_alloc` of all CPUs
    PAGES_ALLOC = 0x06  # of a page (2.3): a block of 2^order pages is as many events; `cache` is 16 + order
    VMALLOC = 0x07  # of an area of vmalloc (2.3)
    KFREE = 0x11
    CACHE_FREE = 0x12
    BULK_FREE = 0x13
    NOLOCK_FREE = 0x14
    KFREE_RCU = 0x15  # a logical free: the memory returns after a grace period
    PAGE_END = 0x16  # the slab of `bytes_alloc` bytes at `ptr` was given back: no object is left in it
    # kmem_cache_free was called with another cache than the object's.  `cache` is the one it was called with
    # where that is known, else the object's own.  Kernels before 7.0 free the object all the same
    # (CACHE_FREE).
    WRONG_CACHE_FREE = 0x17
    PERCPU_FREE = 0x18
    PAGES_FREE = 0x19
    VFREE = 0x1A


FREE_BIT = 0x10
PAGES_OF_ORDER = 16  # `cache` of pages of order 0, and of order n so many more; addresses are larger
LARGEST_ORDER = 10


class Flag(IntFlag):
    """Bits of the column `flags` of sites.arrow.  Values equal `enum slab_event_flag` in bpf/event.h."""

    RECOVERED = 0x01  # recorded by the twin program, because the first one was skipped
    LARGE = 0x02  # a kmalloc beyond the largest slab cache: whole pages, `cache` is 0
    CACHE_UNKNOWN = 0x04  # the page's owner could not be read, `cache` is 0
    INTERIOR = 0x08  # of a free: no object begins at this address (coverage.frees_judged)
    COARSE = 0x10  # the table of sites was full: `bytes_req` equals `bytes_alloc`, and the stack is not kept


class ProcessEvent(IntEnum):
    """What a row of processes.arrow says of a process."""

    RUNNING = 1  # it was there when the recording began
    FORK = 2
    EXEC = 3
    EXIT = 4  # its last thread has ended
    MOVED = 5  # to `cgroup`


class CgroupEvent(IntEnum):
    """What a row of cgroups.arrow says of a cgroup."""

    SEEN = 1
    MADE = 2
    GONE = 3  # removed; the kernel may keep its memory for long


class Held(IntEnum):
    """What the best chain of holders of an object says: the column `held` of objects.arrow."""

    NOTHING = 0  # nothing that was searched points at it
    LISTED = 1  # only a list or table of all objects of its kind has it
    POINTER = 2  # an object or area points at it, of which it is not known who holds that
    NAMED = 3  # kernel data, or an object that is known
    OWNER = 4  # its own fields name its owner: a directory, keyring, socket, …
    PROCESS = 5  # a process has it, through a file descriptor or by itself
    UNREAD = 6  # nothing that was searched points at it, but whether it is in use could not be read


STACK_NOT_TAKEN = -2  # no stack, for the stacks of its call site are sampled (bpf/stack_budget.h)


class Loss(IntEnum):
    """What the column `kind` of losses.arrow counts."""

    RING_FULL = 1  # events dropped because the consumer was behind
    NESTING = 2  # events dropped: more programs nested on one CPU than there are lanes
    RECURSION = 3  # programs skipped by the kernel's recursion guard (recursion_misses)
    STACK = 4  # stacks not stored: bucket collision or map full
    LATE = 5  # events stored out of order: committed after a later batch was written
    FOREIGN = 6  # events that another tool lost (`slabtrace import`); `program`: the tool; count 0: not known
    BULK_REST = 7  # events not recorded: objects of one bulk call beyond the first 64
    WITHOUT_RING = 8  # events lost on CPUs that came online while recording, and have no ring


# An event has only the columns that differ from event to event.  All that repeats is stored once, in
# sites.arrow; `events JOIN sites USING (site)` gives the whole event.
_ALL_BUT_TIME = [
    ("ptr", pa.uint64()),
    ("site", pa.uint32()),  # key of sites.arrow
    ("tid", pa.uint32()),  # the task; tasks.arrow has its tgid and comm
    ("cpu", pa.uint16()),
]
# ts_ns = ts_high * 65536 + ts_low (event_columns.py says why)
EVENTS = pa.schema([("ts_high", pa.int64()), ("ts_low", pa.uint16()), *_ALL_BUT_TIME])
EVENTS_1 = pa.schema([("ts_ns", pa.int64()), *_ALL_BUT_TIME])  # of traces of version 1

# One row for each distinct combination that was seen; `site` counts up from 0 without gaps.
SITES = pa.schema(
    [
        ("site", pa.uint32()),
        ("kind", pa.uint8()),  # Kind
        ("flags", pa.uint8()),  # Flag
        ("call_site", pa.uint64()),
        ("cache", pa.uint64()),  # address of the struct kmem_cache, key of caches.arrow; 0: none
        ("bytes_req", pa.uint32()),
        ("bytes_alloc", pa.uint32()),
        ("gfp_flags", pa.uint32()),
        ("node", pa.int16()),  # requested NUMA node, -1: any
        ("stack_id", pa.int32()),  # key of stacks.arrow; negative: no stack (STACK_NOT_TAKEN: sampled)
    ]
)

CACHES = pa.schema(
    [
        ("cache", pa.uint64()),
        ("name", pa.string()),
        ("aliases", pa.list_(pa.string())),  # other names merged into this cache, sorted
        ("object_size", pa.uint32()),
        ("size", pa.uint32()),  # of one slot: the object with its metadata and padding
        ("slab_flags", pa.uint64()),
        ("order", pa.uint8()),  # usual pages per slab, as a power of two
        ("objects_per_slab", pa.uint16()),
        ("reclaimable", pa.bool_()),  # SLAB_RECLAIM_ACCOUNT
        ("first_seen_ns", pa.int64()),
    ]
)

STACKS = pa.schema([("stack_id", pa.int32()), ("frames", pa.list_(pa.uint64()))])  # innermost first

SYMBOLS = pa.schema(
    [
        ("address", pa.uint64()),
        ("name", pa.string()),
        ("offset", pa.uint64()),  # of `address` in the function
        ("module", pa.string()),  # empty: the kernel's own text
        ("since_ns", pa.int64()),  # when it was resolved; a module may be unloaded later
    ]
)

# The kernel itself, and each module that was loaded before or while recording: what it takes to find the
# debug information of exactly this build, and an address's place in it.  Texts come from the module.
MODULES = pa.schema(
    [
        ("name", pa.string()),  # empty: the kernel itself
        ("version", pa.string()),
        ("srcversion", pa.string()),
        ("build_id", pa.string()),  # in hex; empty: it has none
        ("taint", pa.string()),  # letters, as in /sys/module/NAME/taint
        (
            "begin",
            pa.uint64(),
        ),  # of its memory (since Linux 6.4 the part with code); the kernel's own: _stext
        ("size", pa.uint64()),  # of its memory; the kernel's own: up to the last function
        ("sections", pa.list_(pa.string())),  # those with code, as .text; of modules alone
        ("section_addresses", pa.list_(pa.uint64())),
        ("since_ns", pa.int64()),  # when it was noticed
    ]
)

TASKS = pa.schema(
    [
        ("ts_ns", pa.int64()),  # from this time on, `tid` is called `comm`
        ("tid", pa.uint32()),
        ("tgid", pa.uint32()),
        ("comm", pa.string()),  # chosen by the task: escape it
    ]
)

# What processes did.  Of a RUNNING one ts_ns is when it began, before the recording.
PROCESSES = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("event", pa.uint8()),  # ProcessEvent
        ("tgid", pa.uint32()),
        ("parent", pa.uint32()),  # its tgid at that time
        ("pid_ns", pa.uint32()),  # the number of its PID namespace, as in /proc/PID/ns; 0: not known
        ("net_ns", pa.uint32()),
        ("hierarchy", pa.uint32()),  # of `cgroup`: 0 the default one (cgroup2), else one of version 1
        ("cgroup", pa.uint64()),  # key of cgroups.arrow, with `hierarchy`; 0: not known
        ("exe", pa.string()),  # of RUNNING and EXEC; the others have what they had, or their parent
        ("command", pa.string()),  # the command line as a shell takes it, or its beginning: escape it
    ]
)

# Cgroups and what happened to them.  A cgroup has the same number all its life.
CGROUPS = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("event", pa.uint8()),  # CgroupEvent
        ("hierarchy", pa.uint32()),
        ("cgroup", pa.uint64()),  # the inode number of its directory
        ("path", pa.string()),  # as in /proc/PID/cgroup: escape it
        ("controllers", pa.string()),  # of the hierarchy, such as "memory" or "name=systemd"; "" if not known
    ]
)

LOSSES = pa.schema(
    [
        ("begin_ns", pa.int64()),  # losses happened in [begin_ns, end_ns)
        ("end_ns", pa.int64()),
        ("cpu", pa.int16()),  # -1: not known per CPU
        ("kind", pa.uint8()),  # Loss
        ("program", pa.string()),  # BPF program; empty if there is none
        ("count", pa.uint64()),
    ]
)

SLABINFO = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("name", pa.string()),
        ("active_objs", pa.uint64()),
        ("num_objs", pa.uint64()),
        ("objsize", pa.uint32()),
        ("objperslab", pa.uint32()),
        ("pagesperslab", pa.uint32()),
        ("num_slabs", pa.uint64()),
    ]
)

# The slab allocator's own lists, read at the end, of the slabs that were allocated from.  For an object that
# was allocated before ts_ns and not freed later, `free` holds at some time after ts_ns.
SLABS = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("slab", pa.uint64()),  # address of its first object
        ("cache", pa.uint64()),
        ("stride", pa.uint32()),  # from one object to the next
        ("objects", pa.uint16()),
        ("free", pa.binary()),  # bit i % 8 of byte i // 8: the object at slab + i * stride is free
    ]
)

# Dentries and inodes that were in use on these slabs at the end.  For an object that was allocated before
# ts_ns and not freed later, `pinned` holds at some time after ts_ns.
PINS = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("ptr", pa.uint64()),
        ("pinned", pa.uint8()),  # 1: somebody holds it; 0: the kernel gives it up when memory is short
    ]
)

# The memory cgroup that the objects in use on these slabs are charged to.  For an object that was allocated
# before ts_ns and not freed later, it holds at some time after ts_ns.
CHARGED = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("ptr", pa.uint64()),
        ("hierarchy", pa.uint32()),  # of `cgroup`: the one of the controller "memory"
        ("cgroup", pa.uint64()),  # key of cgroups.arrow, with `hierarchy`; 0: it is not charged to any
    ]
)

# What some outstanding objects are and who holds them, read at the end.  For an object that was allocated
# before ts_ns and not freed later, all of it holds at some time after ts_ns.
OBJECTS = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("ptr", pa.uint64()),
        ("in_use", pa.bool_()),  # false: its slab has it free by then
        ("kind", pa.string()),  # as "dentry" or "sock"; empty: not known
        ("description", pa.string()),  # names in it were chosen by others: escape it
        ("references", pa.int64()),  # its reference count; -1: it has none
        ("held", pa.uint8()),  # Held
        ("holders", pa.list_(pa.string())),  # who holds it, the nearest first: escape them
        ("holder", pa.uint64()),  # the address of the nearest; 0: none, or it is no object
    ]
)

BINS_PER_OCTAVE = 2  # of lifetime_bin: bins for each doubling of the lifetime
LIFETIME_BINS = 52 * BINS_PER_OCTAVE  # from 1 ns to 52 days

# Objects that --mode survivors only counted: their free was seen before they were as old as
# options.threshold_s.
COUNTED = pa.schema(
    [
        ("begin_ns", pa.int64()),  # they were freed in [begin_ns, end_ns), to about a second
        ("end_ns", pa.int64()),
        ("site", pa.uint32()),  # of their allocation; its stack_id is negative where stacks are sampled
        ("lifetime_bin", pa.uint8()),  # they lived from 2^(bin / 2) ns to 2^((bin + 1) / 2) ns
        ("objects", pa.uint64()),
        ("moved", pa.uint64()),  # freed on another CPU: the sum of all bins, in the first row
    ]
)
# The kernel's own counters of memory (capture/memory/texts.py has their names), whole at the start and at the
# end, and about each second those that changed.  A counter that could not be read has no row.
MEMORY = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("counter", pa.string()),  # as "meminfo.MemFree" or "vmalloc.load_module+0x1a [nf_tables]"
        ("value", pa.int64()),  # bytes; a count where the counter is one
    ]
)
MARKS = pa.schema([("ts_ns", pa.int64()), ("text", pa.string())])

SIDE_TABLES: dict[str, pa.Schema] = {
    "sites": SITES,
    "caches": CACHES,
    "stacks": STACKS,
    "symbols": SYMBOLS,
    "modules": MODULES,
    "tasks": TASKS,
    "processes": PROCESSES,
    "cgroups": CGROUPS,
    "losses": LOSSES,
    "slabinfo": SLABINFO,
    "slabs": SLABS,
    "pins": PINS,
    "charged": CHARGED,
    "objects": OBJECTS,
    "counted": COUNTED,
    "marks": MARKS,
    "memory": MEMORY,
}

SINCE = {
    "slabs": (1, 1),
    "counted": (1, 2),
    "pins": (2, 1),
    "processes": (2, 2),
    "cgroups": (2, 2),
    "modules": (2, 2),
    "charged": (2, 2),
    "memory": (2, 3),
    "objects": (2, 3),
}  # version from which on traces have this side table
CARRIED_SINCE = {  # and this carried one
    **dict.fromkeys(("uncompleted", "since", "older", "lived", "pairs"), (2, 1)),
    **dict.fromkeys(("processes", "cgroups"), (2, 2)),
}

# What a part of a series has from the parts before it, with times before its started_ns.
CARRIED: dict[str, pa.Schema] = {
    "events": EVENTS,  # allocations that were outstanding
    "tasks": TASKS,  # the tasks of these
    "processes": PROCESSES,  # the processes of these, as if they had run from when they began
    "cgroups": CGROUPS,  # the cgroups of these
    "losses": LOSSES,  # all losses, one row for each CPU, kind and program
    "missed": pa.schema([("site", pa.uint32()), ("frees", pa.uint64())]),  # inferred frees
    "uncompleted": EVENTS,  # frees of the last minute that may be reported again (kfree_rcu)
    "since": pa.schema([("begin_ns", pa.int64())]),  # one row: from when on nothing is missing
    # frees of objects from before that: `frees` of them at `site`, the first and the last at these times
    "older": pa.schema(
        [("begin_ns", pa.int64()), ("end_ns", pa.int64()), ("site", pa.uint32()), ("frees", pa.uint64())]
    ),
    # objects allocated at `site` that lived 2^octave to less than 2^(octave + 1) ns
    "lived": pa.schema([("site", pa.uint32()), ("octave", pa.uint8()), ("objects", pa.uint64())]),
    # those of at least 2^30 ns whose free was seen, by the site of the free; `lived_ns`: the sum
    "pairs": pa.schema(
        [
            ("site", pa.uint32()),
            ("freed_at", pa.uint32()),
            ("octave", pa.uint8()),
            ("objects", pa.uint64()),
            ("lived_ns", pa.float64()),
        ]
    ),
}


def events_of(major: int) -> pa.Schema:
    """The columns of events in traces of the version `major`."""
    return EVENTS if major >= 2 else EVENTS_1
