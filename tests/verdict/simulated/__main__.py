# SPDX-License-Identifier: Apache-2.0
"""python -m tests.verdict.simulated [--recordings N] [--groups N] [--seed N] [--only REGEX]

Flat loads: recordings of --groups groups, all of one scenario; how many of them have any suspect.
Leaks: one leaking group among --groups of flat ones; its class.
Intervals: of groups with 10 objects or more, how often the rate's interval holds the true rate, of the time
that it is of: what came and stays, leaked or not.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from slabtrace.analysis.leaks.evidence import LEAST_KEPT, Tested, tested
from tests.verdict.simulated.judging import classes, evidence, recording
from tests.verdict.simulated.scenarios import FLAT, LEAKS

COUNTED = 10  # objects in an interval's two counts, at least
STATIONARY = ("exponential", "fixed", "lognormal", "ring", "pool", "processes")


def flat_recording(name: str, groups: int, seed: list[int]) -> Counter[str]:
    """The classes in one recording of a flat scenario, and whether its intervals hold 0."""
    rng = np.random.default_rng(seed)
    found_as, results = recording([FLAT[name](rng) for _ in range(groups)])
    found = Counter(found_as)
    found["any"] = int("suspect" in found_as)
    if name in STATIONARY:
        found.update(covered(results, [0.0] * len(results)))
    return found


def covered(results: list[Tested], truths: list[float]) -> Counter[str]:
    """How many intervals there are, and how many hold the true rate."""
    some = [
        each.rate.low <= truth <= each.rate.high
        for each, truth in zip(results, truths, strict=True)
        if each.counted >= COUNTED
    ]
    return Counter(intervals=len(some), hold=sum(some))


def leaking_group(name: str, groups: int, seed: list[int]) -> Counter[str]:
    """The class of one leaking group among so many others, each of which could have been a suspect."""
    rng = np.random.default_rng(seed)
    group = LEAKS[name](rng)
    result = tested(evidence(group))
    other = Tested(least_p=0.0, kept=LEAST_KEPT)
    return Counter(classes([result] + [other] * (groups - 1))[:1]) + covered(
        [result], [group.stay(result.since, result.until)]
    )


def main() -> None:
    """Print a table for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recordings", type=int, default=100, help="of each flat scenario")
    parser.add_argument("--leaks", type=int, default=500, help="groups of each leaking scenario")
    parser.add_argument("--groups", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(
            "| flat | recordings | with a suspect | growing | interval holds 0 |\n|---|---:|---:|---:|---:|"
        )
        for name in filter(re.compile(asked.only).search, FLAT):
            jobs = [
                pool.submit(flat_recording, name, asked.groups, [asked.seed, n])
                for n in range(asked.recordings)
            ]
            total = sum((job.result() for job in jobs), Counter[str]())
            grew = total["growing"] / (asked.groups * asked.recordings)
            print(
                f"| {name} | {asked.recordings} | {total['any']} | {grew:.2%} of groups | {_held(total)} |",
                flush=True,
            )
        print(
            "\n| leak | groups | suspect | growing | replacing | young | interval holds the rate |\n"
            "|---|---:|---:|---:|---:|---:|---:|"
        )
        for name in filter(re.compile(asked.only).search, LEAKS):
            jobs = [
                pool.submit(leaking_group, name, asked.groups, [asked.seed, n]) for n in range(asked.leaks)
            ]
            total = sum((job.result() for job in jobs), Counter[str]())
            shares = " | ".join(
                f"{total[each] / asked.leaks:.1%}" for each in ("suspect", "growing", "replacing", "young")
            )
            print(f"| {name} | {asked.leaks} | {shares} | {_held(total)} |", flush=True)


def _held(total: Counter[str]) -> str:
    return f"{total['hold'] / total['intervals']:.1%}" if total["intervals"] else "-"


if __name__ == "__main__":
    main()
