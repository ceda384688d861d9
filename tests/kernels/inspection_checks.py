# SPDX-License-Identifier: Apache-2.0
"""Checks of what a recording says of single objects: the module's lost ones beside those that are held.

The module forgets the only pointer to what its faults leak.  The leaver's pipes are held by its child, and
its messages by their queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slabtrace.analysis.holders.classes import KERNEL, LOST, PROCESS
from tests.kernels.leak_checks import Findings, Group, made_by
from tests.kernels.workload import LOST as LOST_BY

# Emulated CPUs are slow.  Only what the script's shell and the leaver allocate: the guest's other findings,
# thousands of cached files, would come first.
INSPECT = ("--inspect", "60s", "--inspect-cpu", "100%", "--comm", "[sl]*")
LEAST = 0.95  # of the objects


def _inspected(findings: Findings, function: str) -> list[Group]:
    """The inspected objects of findings whose owner's call site is in a function (a pattern)."""
    account = findings.trace.manifest.inspection
    if account is None or not account.objects:
        raise AssertionError(f"nothing was inspected: {account.problem if account else 'not asked for'}")
    rows: list[Group] = findings.trace.findings().to_dict("records")
    ranks = {row["rank"] for row in made_by(rows, function)}
    found: list[Group] = findings.trace.inspected().to_dict("records")
    return [row for row in found if row["finding"] in ranks]


def _mostly(rows: list[Group], held: str) -> None:
    """Raise AssertionError if there are no rows, or less than LEAST of them are `held`."""
    right = sum(row["held"] == held for row in rows)
    if not rows or right < LEAST * len(rows):
        raise AssertionError(f"{right} of {len(rows)} are {held}: {[row['held'] for row in rows][:20]}")


def check_lost(findings: Findings) -> None:
    """What nobody has a pointer to is lost."""
    _mostly(_inspected(findings, "|".join(LOST_BY)), LOST)


def check_pipes_held(findings: Findings) -> None:
    """Pipes are held by the process that has them open; none is lost.  The patterns: who may own them."""
    rows = _inspected(findings, "alloc_pipe_info|alloc_inode|new_inode_pseudo|alloc_empty_file")
    _mostly([row for row in rows if row["kind"] == "file"] or rows, PROCESS)
    if any(row["held"] == LOST for row in rows):
        raise AssertionError("something that is held is lost")


def check_messages_held(findings: Findings) -> None:
    """Messages are held by their queue."""
    _mostly(_inspected(findings, "load_msg|alloc_msg"), KERNEL)


def checks() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of inspected_script with INSPECT."""
    yield "lost objects", check_lost
    yield "held files", check_pipes_held
    yield "held messages", check_messages_held
