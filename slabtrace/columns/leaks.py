# SPDX-License-Identifier: Apache-2.0
"""Columns of groups of outstanding objects, and of the judgement of them."""

from __future__ import annotations

from slabtrace.columns.identity import IDENTITY
from slabtrace.columns.table import DICTS, NUMBERS, TEXT, TEXTS, Column, Table

_GROUP = (
    Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all"),
    Column("call_site", "uint64", "address", "who called the allocator; 0 (null in JSON) where a row has several"),
    Column("symbol", TEXT, "", "the call site as function+0x1a [module]; a module or cache where rows are those"),
    Column("stack", TEXTS, "", "the kernel stack of the allocation, innermost first; empty if none was recorded"),
    Column("allocated", "int64", "", "objects allocated while recording"),
    Column("freed", "int64", "", "of these, objects freed: seen, or inferred (a missed free)"),
    Column("outstanding", "int64", "", "of these, objects not freed by the end of the recording"),
    Column("bytes_req", "int64", "B", "what was asked for, of the outstanding objects"),
    Column("bytes_alloc", "int64", "B", "what the outstanding objects occupy"),
    Column("oldest_ns", "int64", "ns", "when the oldest outstanding object was allocated, since the start"),
    Column("newest_ns", "int64", "ns", "when the newest outstanding object was allocated, since the start"),
    Column("comms", TEXTS, "", "names of the tasks that allocated the outstanding objects, most objects first; the first is of the first of pids"),
    Column("pids", NUMBERS, "", "processes (tgid) that allocated the outstanding objects, most objects first"),
    Column("pid_objects", NUMBERS, "", "how many of the outstanding objects (of a finding: of all parts) each of pids allocated"),
    Column("own", "bool", "", "all of them were allocated by slabtrace's recorder itself"),
    Column(
        "confidence", TEXT, "",
        "exact (confirmed): no outstanding object can have been freed unseen; bounded (upper bound): at most "
        "maybe_freed of them; unprovable (unverified): no number is known",
    ),
    Column(
        "maybe_freed", "Int64", "", "how many of the outstanding objects may have been freed unseen, at most; "
        "missing where no number is known", nullable=True,
    ),
    Column("in_use", "int64", "", "outstanding objects that their slabs held in use at the end of the recording"),
    Column(
        "module", TEXT, "", "module of the call site, empty for the kernel itself; missing where a row has several",
        nullable=True,
    ),
    Column("reclaimable", "bool", "", "the cache has the flag SLAB_RECLAIM_ACCOUNT"),
    Column("stack_of", "int64", "", "outstanding objects known to have the stack shown"),
    Column("stacked", "int64", "", "outstanding objects whose stack is known"),
    Column("stacks", "int64", "", "different stacks of the group"),
    Column("object", TEXT, "", "what the objects are, by who allocated them, as UNIX socket; of several kinds a list, most first, "
           "with other for those not known; of a large kmalloc its order; empty where nothing is known"),
    Column("alias", TEXT, "", "of the caches that the kernel merged, the one that these were allocated from; empty where it is not certain"),
    Column("aliases", TEXTS, "", "names of the caches merged into the cache"),
    Column(
        "whose", TEXT, "", "by command, cgroup, unit, container or charged: that; empty where it is not known, or rows are by "
        "something else. By charged, what was freed counts in no row: allocated is outstanding, growth is the share by bytes of "
        "that of suspects and growing findings, p theirs",
    ),
    Column(
        "context", TEXT, "", "what ran when they were allocated, by the stack: task, softirq NET_RX, hardirq, timer, "
        "tasklet, RCU callback, work item, kernel thread or irq thread, with a name; empty if not known",
    ),
    Column(
        "freed_by", DICTS, "", "the places that freed the others of the objects allocated, most first, eight at most: "
        "call_site, symbol, module; path, the innermost functions, and a stack with it, which stack_of of the objects are "
        "known to have; paths, if several are known at a call site with sampled stacks; context; objects; share of the freed; certain, whether they are more than the missed frees; "
        "last_ns, the last free; stopped, true if it no longer frees any though they still come. how is seen; inferred, "
        "counted (in survivors mode) and unlisted are the objects of which no place is known",
    ),
    Column(
        "others_freed_by", DICTS, "", "where none was freed: the same of objects of the same call site, or of the same cache "
        "if that is for one kind of objects; of says which",
    ),
)  # fmt: skip

_TESTS = (
    Column("rate_per_s", "float64", "1/s", "objects a second that came and that nothing balances, of all objects"),
    Column("rate_low", "float64", "1/s", "lower end of the rate's interval (95 %)"),
    Column("rate_high", "float64", "1/s", "upper end of the rate's interval (95 %)"),
    Column("rate_since_ns", "int64", "ns", "the rate is that from so long after the start on, because more came before; 0: of the whole time"),
    Column("growth_bytes_per_s", "float64", "B/s", "the rate in bytes"),
    Column("growth_low", "float64", "B/s", "lower end of the growth's interval (95 %)"),
    Column("growth_high", "float64", "B/s", "upper end of the growth's interval (95 %)"),
    Column("old", "int64", "", "outstanding objects older than horizon_ns"),
    Column("old_freed", "int64", "", "objects that were seen freed after they had grown older than horizon_ns"),
    Column(
        "older_freed", "float64", "", "frees, later than horizon_ns after the start, of objects from before the recording "
        "that may be of this row (a share of them where several rows may)",
    ),
    Column("horizon_ns", "int64", "ns", "the age from which on objects count as old; 0: none is old"),
    Column(
        "sibling_ns", "float64", "ns", "median lifetime of the freed objects; missing where none was freed",
        nullable=True,
    ),
    Column("dispersion", "float64", "", "how many objects count as one because they came together; 1: none"),
    Column("p", "float64", "0 to 1", "how well the data agree with no leak; a suspect's is below 0.01 by the tests"),
)  # fmt: skip

_CLASS = (
    Column("class", TEXT, "", "suspect, growing, replacing, retained, young or reclaimable"),
    Column("why", TEXT, "", "the judgement in one sentence"),
)

_FINDING = (
    Column("rank", "int64", "", "from 1: suspects first, then growing ones, by least growth; then by class and bytes; of each class, what is lost first"),
    *_CLASS,
    Column("next", TEXT, "", "what to do about it"),
    Column("cache", TEXT, "", "slab cache of the owner, the part with most bytes"),
    Column("caches", TEXTS, "", "slab caches of all parts, the owner's first"),
    Column("allocator", TEXT, "", "of the owner: slab, large kmalloc, percpu, pages, vmalloc; empty if not known"),
    Column("call_site", "uint64", "address", "who called the allocator for the owner"),
    Column("symbol", TEXT, "", "that call site as function+0x1a [module]"),
    Column("stack", TEXTS, "", "the kernel stack of that allocation, innermost first; empty if none was recorded"),
    Column("module", TEXT, "", "module of that call site, empty for the kernel itself", nullable=True),
    Column("groups", NUMBERS, "", "ranks of the parts in the table leaks, the owner's first"),
    Column("outstanding", "int64", "", "owners that are outstanding"),
    Column("objects", "int64", "", "objects of all parts that are outstanding"),
    Column("bytes_alloc", "int64", "B", "what all parts occupy"),
    Column("bytes_req", "int64", "B", "what was asked for, of all parts"),
    Column("bytes_each", "float64", "B", "bytes_alloc for each owner"),
    Column("allocated", "int64", "", "owners allocated while recording"),
    Column("freed", "int64", "", "of these, owners freed: seen, or inferred (a missed free)"),
    *_TESTS,
    Column("longer_ns", "float64", "ns", "how much longer to record to decide; missing where it is decided or cannot be said", nullable=True),
    Column("doubt", TEXT, "", "what speaks against a leak; empty where nothing does"),
    Column("inspected", "int64", "", "owners of which it was read at the end who holds them"),
    Column("lost", "int64", "", "of these, owners that nothing points at"),
    Column("held", TEXT, "", "the class of 9 of 10 of these or more: lost, process, kernel, cached or unknown (see inspected objects), else mixed; empty: none was inspected"),
    Column("held_by", TEXTS, "", "processes that hold these, most objects first, three at most"),
    *(each for each in _GROUP if each.name in (
        "oldest_ns", "newest_ns", "comms", "pids", "pid_objects", "own", "confidence", "maybe_freed", "in_use",
        "stack_of", "stacked", "stacks", "object", "alias", "aliases", "context", "freed_by", "others_freed_by",
    )),
    *IDENTITY,
    Column(
        "charged", DICTS, "", "the memory cgroups that the objects are charged to, most objects first, 20 at most: cgroup, the "
        "path, or the number if that is not known, (not charged) for none; number, 0 for none; objects; tasks, the memory "
        "cgroups in which the tasks were that allocated these. Objects of which it is not known are in no entry",
    ),
    Column("parts", TEXTS, "", "caches, each with what is in it, as text shows them"),
)  # fmt: skip

_ESTIMATES = (
    Column("outstanding_estimate", "float64", "", "estimate of all outstanding objects", sampled=True),
    Column("outstanding_error", "float64", "", "its error, 1.96 standard deviations", sampled=True),
    Column("bytes_estimate", "float64", "B", "estimate of all outstanding bytes", sampled=True),
    Column("bytes_error", "float64", "B", "its error, 1.96 standard deviations", sampled=True),
)  # fmt: skip

_RANK = (
    Column("rank", "int64", "", "from 1: in the order of the findings, then by bytes"),
    Column(
        "finding", "int64", "", "rank of the finding that the row belongs to, or of the gravest one; 0: none"
    ),
)
_ROW = "a group of objects of one cache that are outstanding"

OUTSTANDING = Table("outstanding", _ROW, "outstanding", _GROUP)
FINDINGS = Table(
    "findings", "a finding: an owner and what hangs on it, one with one", "findings", (*_FINDING, *_ESTIMATES),
    command="leaks", json_list="findings",
)  # fmt: skip
ESTIMATES = Table("estimates", _ROW, "leaks", _ESTIMATES)  # a part of LEAKS
LEAKS = Table(
    "leaks",
    _ROW,
    "leaks",
    (*_RANK, *_GROUP, *_CLASS, *_TESTS, *_ESTIMATES),
    command="leaks",
    json_list="groups",
)
