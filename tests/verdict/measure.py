# SPDX-License-Identifier: Apache-2.0
"""What one owner allocates, by /proc/slabinfo alone: how the tables in catalogue.py were made.

    python -m tests.verdict.measure NAME [--steps 100]

Nine times a load takes so many steps; how many active objects each cache has more, by owner, is printed: the
median of the nine, so that what others do meanwhile does not count.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

from tests.verdict.catalogue import NAMED
from tests.verdict.kernel_caches import active_objects, sizes
from tests.verdict.loads.load import Load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.verdict.measure", description=__doc__)
    parser.add_argument("name", choices=sorted(NAMED))
    parser.add_argument("--steps", type=int, default=100, help="in a batch")
    parser.add_argument("--batches", type=int, default=9)
    parser.add_argument("--settle", type=float, default=0.7, help="seconds to wait for RCU and kworkers")
    arguments = parser.parse_args()
    load = NAMED[arguments.name].load()
    try:
        load.setup()
        counts, owners = _batches(load, arguments)
    finally:
        load.close()
    print(f"{arguments.name}: {arguments.batches} batches of {arguments.steps} steps, {owners} owners each")
    size, total = sizes(), 0.0
    for cache in counts[-1]:
        changes = [(b.get(cache, 0) - a.get(cache, 0)) / owners for a, b in itertools.pairwise(counts)]
        change = statistics.median(changes)
        if abs(change) > 0.02 or cache == NAMED[arguments.name].owner:
            total += change * size[cache]
            mean = statistics.fmean(changes)
            print(f"  {cache:20} {change:8.3f} (mean {mean:8.3f}) x {size[cache]:5} B")
    print(f"  {total:.0f} B")


def _batches(load: Load, arguments: argparse.Namespace) -> tuple[list[dict[str, int]], int]:
    """The objects of each cache before the first batch and after each; owners of a batch."""
    time.sleep(arguments.settle)
    counts, owners = [active_objects()], 0
    for _ in range(arguments.batches):
        owners = sum(load.step(0.0) for _ in range(arguments.steps)) or arguments.steps
        time.sleep(arguments.settle)
        counts.append(active_objects())
    return counts, owners


if __name__ == "__main__":
    main()
