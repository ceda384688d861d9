# SPDX-License-Identifier: Apache-2.0
"""Fleets of a thousand and ten thousand hosts: the planted leak, no leak, and how long the reduce takes."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from slabtrace.fleet.digests.file import Digest
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.merging.merged import Merged, row_of
from slabtrace.fleet.sources.digesting import content_hash
from tests.unit.fleet import fleets
from tests.unit.fleet.fleets import Plan

Seen = tuple[bool, str]
SEEDS = 100


def planted(folder: Path) -> Seen:
    """1,000 digests; a leak on 30 hosts, all on one of four builds; 200 benign groups a host."""
    merged = Merged()
    for name, content in fleets.digests(Plan()):
        merged.add(row_of(Digest(content, name), name, content_hash(content)))
    found = report(merged)["findings"]
    first = found[0]
    named = [each["value"] for each in first["associations"]]
    others = sum(len(each["associations"]) for each in found[1:])
    right = len(named) == 1 and named[0].startswith(fleets.BUILDS[fleets.LEAKY_BUILD])
    p = first["associations"][0]["p"] if named else 1.0
    leak = first["title"].endswith("keep_1000 < handle_1000") and first["affected"] == 30
    hosts = f"{first['affected']} of {first['affected'] + first['clear']}"
    words = f"rank 1 is {first['title']}, {hosts}, {named}, p = {p:.2g}; {others} others"
    return leak and right and p < 1e-6 and not others, words


def empty(folder: Path) -> Seen:
    """100 fleets without a leak; and 100 with so many false suspects that many issues pass the gate."""
    wrong, gated = {}, {}
    for name, plan in (
        ("1 %", Plan(leaking=0, benign=200)),
        ("20 % of 20 groups", Plan(leaking=0, benign=20, false_suspects=0.2)),
    ):
        wrong[name] = gated[name] = 0
        for seed in range(SEEDS):
            quick = Plan(plan.hosts, 0, plan.benign, plan.false_suspects, seed)
            rows = [fleets.quick_row(*each) for each in fleets.suspects_of(quick)]
            found = report(fleets.merged(rows))["findings"]
            gated[name] += sum(each["gate"] != "few" for each in found)
            wrong[name] += any(each["associations"] for each in found)
    words = "; ".join(
        f"false suspects {name}: {wrong[name]} of {SEEDS} seeds wrong, {gated[name]} issues gated"
        for name in wrong
    )
    return max(wrong.values()) <= 1, words


def reduce(folder: Path) -> Seen:
    """10,000 digests read and reduced by the command, in a process of its own."""
    for name, content in fleets.digests(Plan(hosts=10_000, leaking=300, benign=200)):
        (folder / f"{name}.digest.parquet").write_bytes(content)
    began = time.monotonic()
    run = [
        sys.executable,
        "-m",
        "slabtrace",
        "fleet",
        str(folder),
        "--digests",
        str(folder / "store"),
        "--json",
    ]
    ended = subprocess.run(run, stdout=subprocess.DEVNULL, check=False)
    wall = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    words = f"10,000 digests: {wall:.0f} s, {cpu:.0f} s of CPU, {peak:.0f} MiB; exit code {ended.returncode}"
    return ended.returncode == 1 and cpu < 60 and peak < 1024, words
