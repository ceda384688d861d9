# SPDX-License-Identifier: Apache-2.0
"""python -m tests.imports FOLDER [--again]: one run recorded with several tools, compared; the leak in each.

Needs root, perf and tracefs; nothing else should trace.  The recordings stay in FOLDER; --again compares them
again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import slabtrace
from slabtrace.api import Trace
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording
from tests.imports.compared import Compared, compare
from tests.imports.pipes import LEAKED, record
from tests.imports.recorders import recorded


def main() -> int:
    """Print what each tool recorded beside slabtrace; 1 if it missed the leak."""
    place = Path(sys.argv[1])
    place.mkdir(exist_ok=True)
    recordings = recorded(place) if "--again" in sys.argv else record(place)
    own = slabtrace.open(place / "own.slab")
    assert own.manifest.command is not None
    pid = own.manifest.command.pid
    print(f"slabtrace: {own.manifest.totals.events:,} events; {leak(own, pid)}")
    print(f"  {own.completeness().verdict}\n")
    missed = 0
    for name, path in recordings.items():
        import_recording([Source(path)], place / f"{name}.slab", force=True)
        other = slabtrace.open(place / f"{name}.slab")
        show(name, other, compare(own, other), pid)
        missed += f"{LEAKED} " not in leak(other, pid)
    return 1 if missed else 0


def leak(trace: Trace, pid: int) -> str:
    """What the trace says of the pipes that process `pid` left open."""
    found = trace.leaks(by="call_site", pid=[pid])
    mine = found[found["symbol"].str.contains("alloc_pipe_info")]
    rows = [f"{row['outstanding']} {row['cache']} {row['class']}" for row in mine.to_dict("records")]
    return f"pipes: {', '.join(rows) or 'none'}"


def show(name: str, other: Trace, found: Compared, pid: int) -> None:
    """Print a comparison."""
    foreign = other.manifest.foreign
    assert foreign is not None
    print(f"{name}: losses {foreign.losses} {foreign.lost:,}, {foreign.rejected} lines refused")
    print(f"  {leak(other, pid)}")
    for event in found.both:
        both, mine, theirs = (each[event] for each in (found.both, found.own, found.other))
        print(f"  {event:18} in both {both:9,}   slabtrace alone {mine:7,}   {name} alone {theirs:7,}")
    print(f"  outstanding in both {found.outstanding:,}, in slabtrace's alone {found.own_outstanding:,}")
    print(f"  outstanding in {name}'s alone, by the free that slabtrace saw: {found.freed}")
    print(f"  {other.completeness().verdict}\n")


if __name__ == "__main__":
    sys.exit(main())
