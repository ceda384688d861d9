# SPDX-License-Identifier: Apache-2.0
"""What a recording is to do, and what its manifest says before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from slabtrace import __version__
from slabtrace.capture.host import describe
from slabtrace.capture.memory.watch import TOGETHER_S
from slabtrace.capture.session import Session
from slabtrace.capture.storing.inspection import Choose
from slabtrace.trace.manifest import Manifest


@dataclass(frozen=True)
class Plan:
    """What to record and when to end: after `duration_s`, `grace_s` after the command, or on `Recorder.stop`.

    `settle` (settle.py): waits, before the end, until the kernel has freed what it frees with a delay.
    `slabs_asked`: at the end, check in the slabs which objects are free (slab_check.py), which of the
    dentries and inodes are pinned (pin_check.py), and which cgroup is charged (charge_check.py).
    `memory_s`: of counters of memory, store samples of so much time together; None: read none.
    `choose`: says then which objects to inspect (inspection.py); None: none.
    """

    duration_s: float | None = None
    argv: Sequence[str] = ()
    grace_s: float = 0.5
    settle: Callable[[], None] | None = None
    slabs_asked: bool = True
    memory_s: float | None = TOGETHER_S
    choose: Choose | None = None


def new_manifest(session: Session, labels: Mapping[str, str] | None = None) -> Manifest:
    """The manifest of a recording that is about to start."""
    now = time.monotonic_ns()
    return Manifest(
        tool_version=__version__,
        started_ns=now,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        realtime_minus_monotonic_ns=time.time_ns() - now,
        host=describe(session.kallsyms, session.caches.all()),
        labels=dict(labels or {}),
        options=session.options.to_manifest() | session.memory(),
    )
