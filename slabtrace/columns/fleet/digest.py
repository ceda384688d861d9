# SPDX-License-Identifier: Apache-2.0
"""Columns of a digest: the small Parquet file that stands for one trace in a fleet (docs/fleet.md)."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, Column, Table

_INTEGER = "Int64"

TRACE_FACTS = (
    Column("fingerprint", TEXT, "", "names the trace: a hash of its manifest and of the names and sizes of its files"),
    Column("trace", TEXT, "", "name of the trace's folder or file, without .zip"),
    Column("tool_version", TEXT, "", "version of slabtrace that made the digest"),
    Column("host", TEXT, "", "hostname; empty if not known. Several hosts may have one name: see boot_id"),
    Column("boot_id", TEXT, "", "names one boot of one host; empty in traces before 2.2"),
    Column("release", TEXT, "", "release of the kernel"),
    Column("kernel", TEXT, "", "version of the kernel, as uname -v prints it"),
    Column("build_id", TEXT, "", "names the build of the kernel; empty if not known"),
    Column("machine", TEXT, "", "architecture"),
    Column("os", TEXT, "", "ID and VERSION_ID of the system, as debian 12"),
    Column("cpus", "int64", "", "CPUs"),
    Column("memory_bytes", "int64", "B", "memory of the host; 0: not known"),
    Column("tainted", _INTEGER, "", "bits as in /proc/sys/kernel/tainted; missing if not known", nullable=True),
    Column("labels", TEXT, "", "the recording's labels, as a JSON object of texts"),
    Column("modules", TEXT, "", "names of the modules that were loaded, with spaces between them, sorted"),
    Column("boot_s", "int64", "s", "when the host booted, seconds since 1970; 0: not known (redacted)"),
    Column("begin_s", "int64", "s", "when the recording began, since 1970; of a redacted trace since its boot"),
    Column("end_s", "int64", "s", "when it ended, as begin_s"),
    Column("begin_ns", "int64", "ns", "when it began, CLOCK_MONOTONIC of the host"),
    Column("end_ns", "int64", "ns", "when it ended, CLOCK_MONOTONIC of the host"),
    Column("series_ns", "int64", "ns", "when the series began of which it is a part; begin_ns if it is none"),
    Column("part", _INTEGER, "", "number of the part of a series; missing if it is no part", nullable=True),
    Column("status", TEXT, "", "complete, recording, or failed: and why"),
    Column("damage", TEXT, "", "what is missing or cut; empty for a whole trace"),
    Column("mode", TEXT, "", "events or survivors"),
    Column("stacks", TEXT, "", "how stacks were recorded: auto, all, none, …"),
    Column("filters", TEXT, "", "options by which the recording left out events, as they are typed; empty: none"),
    Column("cache_globs", TEXT, "", "of these --cache, with newlines between them"),
    Column("partial", "bool", "", "a filter left out some objects of a cache (--pid, --comm, --cgroup, sizes)"),
    Column("sample", "int64", "", "N if one in N addresses was recorded; 1: all"),
    Column("events", "int64", "", "events in the trace"),
    Column("lost", "int64", "", "events lost, or stored out of order, at most"),
    Column("lost_ppm", "int64", "", "events that found no room in the rings, of a million"),
    Column("unwatched", TEXT, "", "silent paths that were not traced, with spaces between them"),
    Column("exact", "bool", "", "no event of what was asked for can have been missed"),
    Column("verdict", TEXT, "", "what was found and what could have been, in sentences"),
    Column("least_per_day", _INTEGER, "", "the slowest leak that would have been found with 95 %, objects a day, rounded up; missing if the "
           "recording is too short for any", nullable=True),
    Column("findings", "int64", "", "findings of the trace"),
    Column("findings_left_out", "int64", "", "of these, how many the digest has no row of, because it is bounded"),
)  # fmt: skip

FINDING_FACTS = (
    Column("signature", TEXT, "", "names the issue: the cache's family, and the innermost functions that are no allocation helpers"),
    Column("variant", TEXT, "", "names the issue with its whole stack: another build may inline otherwise"),
    Column("local", "bool", "", "nothing of it can be compared with other hosts: a function has no name"),
    Column("title", TEXT, "", "the issue in words: family: function < its caller"),
    Column("cache", TEXT, "", "slab cache, in a row cache its name"),
    Column("family", TEXT, "", "the cache as other hosts call it too"),
    Column("stack", TEXT, "", "functions with offsets, innermost first, a line each"),
    Column("module", TEXT, "", "module of the call site, empty for the kernel itself"),
    Column("object", TEXT, "", "what the objects are, if it is known"),
    Column("class", TEXT, "", "suspect, growing, replacing, retained, young or reclaimable"),
    Column("rank", _INTEGER, "", "rank among the findings of the trace", nullable=True),
    Column("outstanding", _INTEGER, "", "owners outstanding; of a sample, in the sample", nullable=True),
    Column("objects", _INTEGER, "", "objects of all parts; of a sample, estimated", nullable=True),
    Column("bytes", _INTEGER, "B", "bytes of all parts; of a sample, estimated", nullable=True),
    Column("rate_per_day", _INTEGER, "", "owners a day that came and that nothing balances; with sample, of all addresses", nullable=True),
    Column("rate_low_per_day", _INTEGER, "", "lower end of its interval (95 %)", nullable=True),
    Column("rate_high_per_day", _INTEGER, "", "upper end of its interval", nullable=True),
    Column("growth_per_day", _INTEGER, "B", "the rate in bytes a day", nullable=True),
    Column("growth_low_per_day", _INTEGER, "B", "lower end: certain growth; 0 at least", nullable=True),
    Column("growth_high_per_day", _INTEGER, "B", "upper end", nullable=True),
    Column("confidence", TEXT, "", "exact, bounded or unprovable: how far it is sure"),
    Column("maybe_freed", _INTEGER, "", "at most so many of the outstanding may have been freed unseen; missing if no number is known", nullable=True),
    Column("in_use", _INTEGER, "", "objects in use at the end, by the slab allocator's own lists", nullable=True),
    Column("oldest_s", _INTEGER, "s", "age of the oldest object", nullable=True),
    Column("command", TEXT, "", "command or task that allocated most of them"),
    Column("cgroup", TEXT, "", "cgroup of most of them, if recorded"),
    Column("unit", TEXT, "", "systemd unit of that"),
    Column("container", TEXT, "", "container of that"),
    Column("doubt", TEXT, "", "what speaks against a leak"),
    Column("why", TEXT, "", "the judgement in one sentence"),
    Column("kernel_change", _INTEGER, "", "row cache: change of the kernel's own count of objects in use", nullable=True),
    Column("traced_change", _INTEGER, "", "row cache: allocations less frees", nullable=True),
)  # fmt: skip

DIGEST = Table(
    "digest", "a trace (one row), a finding, or a cache that changed; what is of the trace stands in every row",
    "(fleet.digests.making.digest_frame)",
    (Column("row", TEXT, "", "trace, finding or cache"), *TRACE_FACTS, *FINDING_FACTS),
)  # fmt: skip
