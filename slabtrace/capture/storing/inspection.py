# SPDX-License-Identifier: Apache-2.0
"""The inspection at the end of a recording: what the findings' objects are, and who holds them.

While the recorder goes on, a process of its own reads what was stored so far and says which objects matter
(`choose`); they are inspected, as far as there is time, and become rows of objects.arrow.  What is freed
meanwhile has a free event after the row's ts_ns, so nothing is said of it.  A failure is a note in the
manifest: it never ends a recording.  Who `hurries` gets the trace without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from slabtrace.capture.inspecting.answers import ObjectRow, rows
from slabtrace.capture.inspecting.inspector import Inspector, Searched
from slabtrace.capture.inspecting.pace import Pace
from slabtrace.capture.process.memory_limit import free_memory
from slabtrace.capture.session import Session
from slabtrace.trace.format import schema
from slabtrace.trace.manifest import Inspection

MOST_OBJECTS = 1000
DEPTH = 2
NEEDED_BYTES = 512 << 20  # of which the process that chooses takes half: a leaking machine has little memory
NO_COUNT = -1
LEFT_OUT = "the recording had to end at once"

Choose = Callable[[], Sequence[int]]  # addresses; raises OSError or ValueError with the reason


class Inspected(NamedTuple):
    """Columns of objects.arrow, and the entry of the manifest."""

    columns: dict[str, list[Any]]
    account: Inspection


def inspect(session: Session, choose: Choose, hurries: Callable[[], bool]) -> Inspected:
    """Choose objects and inspect them.  A row is about an object that was allocated before its ts_ns."""
    if session.machine is None:
        return Inspected(_columns([], 0), Inspection(problem=session.machine_problem))
    if hurries():
        return Inspected(_columns([], 0), Inspection(problem=LEFT_OUT))
    if (free := free_memory()) < NEEDED_BYTES:
        words = f"to find out takes {NEEDED_BYTES >> 20} MiB of free memory, and there are {free >> 20} MiB"
        return Inspected(_columns([], 0), Inspection(problem=words))
    try:
        found = _inspected(session, choose, hurries)
    except Exception as error:  # what changes while it is read may be anything
        found = Inspected(_columns([], 0), Inspection(problem=_first_line(error)))
    return Inspected(_columns([], 0), Inspection(problem=LEFT_OUT)) if hurries() else found


def _inspected(session: Session, choose: Choose, hurries: Callable[[], bool]) -> Inspected:
    machine, chosen = session.machine, list(dict.fromkeys(choose()))
    if machine is None or not chosen:
        return Inspected(_columns([], 0), Inspection(whole=True))
    machine.renew(session.caches.by_address(), session.caches.aliases)
    here = [each for each in chosen if machine.base <= each < machine.end]  # per-CPU memory is elsewhere
    wanted = np.array(sorted(here[:MOST_OBJECTS]), np.uint64)
    options, started_ns = session.options, time.monotonic_ns()
    pace = Pace(options.inspect_s, options.inspect_cpu, hurries)
    inspector = Inspector(machine, pace)
    chains, searched = inspector.holders(wanted, DEPTH)
    found = rows(inspector.things(wanted), chains, inspector.kinds_by_holder())
    account = Inspection(
        len(found), pace.elapsed_s, pace.cpu_s, searched.bytes, searched.whole, problem_of(searched)
    )
    return Inspected(_columns(found, started_ns), account)


def problem_of(searched: Searched) -> str:
    """Why not all was searched; empty if all was."""
    if searched.missing:
        return f"this kernel does not say where these are: {', '.join(searched.missing)}"
    lacked = [] if searched.whole else ["to search all memory"]
    lacked += [] if searched.deep else ["for holders of holders"]
    return f"there was no time {' and '.join(lacked)}: use a longer --inspect" if lacked else ""


def _columns(found: Sequence[ObjectRow], ts_ns: int) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in found] for name in schema.OBJECTS.names if name != "ts_ns"
    }
    columns["holders"] = [list(each) for each in columns["holders"]]
    columns["references"] = [NO_COUNT if each is None else each for each in columns["references"]]
    return {"ts_ns": [ts_ns] * len(found), **columns}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
