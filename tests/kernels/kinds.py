# SPDX-License-Identifier: Apache-2.0
"""Ten kinds of objects in a guest: is each known for what it is, and its holder found?

    python -m tests.kernels.kinds RESULTS [KIND...]

An emulated CPU searches memory for minutes, so the objects of all kinds are kept at once, and searched for
together.  A kind of which this kernel or guest cannot make objects has a row that says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.kernels.inside import step
from tests.live import keeper

FILE = "kinds.json"
LEAST = 0.95
SEARCH_S = 900.0


def main(results: Path, kinds: list[str]) -> None:
    """Two steps: the network that some kinds need, and the search, which writes FILE."""
    step(results, "loopback", ["busybox", "ip", "link", "set", "lo", "up"])
    step(results, "kinds", [sys.executable, "-m", __spec__.name, str(results), "--here", *kinds])


def here(results: Path, kinds: list[str]) -> None:
    """Keep, search, and write a row for each kind."""
    from slabtrace.capture.inspecting.inspector import Inspector
    from slabtrace.capture.inspecting.machine import Machine
    from slabtrace.capture.inspecting.pace import Pace
    from tests.live.kept import kept

    rows: dict[str, dict[str, Any]] = {}
    truths: dict[str, dict[str, Any]] = {}
    with ExitStack() as keepers:
        for kind in kinds or keeper.KINDS:
            try:
                truths[kind] = keepers.enter_context(kept(kind))
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                rows[kind] = {"made": 0, "problem": str(error)}
        machine = Machine.opened()
        try:
            rows |= _judged(Inspector(machine, Pace(SEARCH_S, 1.0)), truths)
        finally:
            machine.close()
    (results / FILE).write_text(json.dumps(rows, indent=1))


def _judged(inspector: Any, truths: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    from tests.live.kept import COUNT, KIND_NAMES, ends, select

    found: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for kind, truth in truths.items():
        try:
            found[kind] = select(kind, inspector, truth)
        except (KeyError, AssertionError, ValueError) as error:
            rows[kind] = {"made": COUNT, "problem": f"not found: {error!r}"}
    every = np.unique(np.concatenate([np.empty(0, np.uint64), *found.values()]))
    chains, searched = inspector.holders(every, 2)
    names = {each.address: each.kind for each in inspector.things(every)}
    names |= {at: kind for at, kind in inspector.kinds_by_holder().items() if not names.get(at)}
    for kind, objects in found.items():
        held = [each for each in objects.tolist() if ends(kind, chains[each], truths[kind])]
        right = sum(names.get(each) == KIND_NAMES[kind] for each in held)
        wrong = next((chains[each] for each in objects.tolist() if each not in set(held)), None)
        rows[kind] = {
            "made": COUNT, "found": len(objects), "held": len(held), "right": right, "whole": searched.whole,
            "other": [step.what for step in wrong.steps] if wrong is not None else [],
        }  # fmt: skip
    return rows


def checks(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, check) of the rows in a guest's folder."""
    rows = json.loads((folder / FILE).read_text())
    for kind in keeper.KINDS:
        yield f"kind: {kind}", partial(_check, rows.get(kind, {"problem": "no row"}))


def _check(row: dict[str, Any]) -> None:
    if problem := row.get("problem"):
        raise AssertionError(problem)
    if min(row["held"], row["right"]) < LEAST * row["made"]:
        raise AssertionError(f"holders right: {row['held']}, kinds right: {row['right']}; {row}")


if __name__ == "__main__":
    if "--here" in sys.argv:
        here(Path(sys.argv[1]), sys.argv[3:])
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
