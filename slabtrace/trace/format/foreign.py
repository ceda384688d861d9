# SPDX-License-Identifier: Apache-2.0
"""What the manifest says of a recording that another tool made (`slabtrace import`).

Such a recording may lack much without saying so.  Here are the facts that were found in it; what follows from
them is decided when the trace is read (analysis/trust/foreign.py), so an old import gains by newer rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NO_LOSSES, KNOWN_LOSSES, UNKNOWN_LOSSES = "none", "known", "unknown"
HASHED, ADDRESSES, NOT_KNOWN = "hashed", "addresses", "unknown"


@dataclass
class Foreign:
    """A recording of another tool.

    `tool`: perf, ftrace, trace-cmd, LTTng.  `files`: names of the files, without their folders.
    `losses`: "none": the recording would say if events were lost, and does not; "known": it says so, and
    losses.arrow has it, or whole CPUs are missing; "unknown": it cannot be known.  `lost`: events that it
    says were lost; `gaps`: those of which it does not say how many events they held; `overwritten`: the
    oldest events, by its header.
    `lines`, `rejected` (with a few `examples`): lines of text, and those refused; `cut`: different events
    whose lines are not whole.
    `kinds`: how many events of each kmem tracepoint, under its name.  `enabled`: the tracepoints that were
    enabled; None: not said.  `filters`: filters that the recording names; `suspected`: signs of others.
    `absent`: events that its header counts and the file does not have.
    `cpus`: of the machine, 0: not said; `cpus_missing`: of these, those that were left out, or have no event
    at all though they are not said to be empty.  `sampled`: not every event was recorded, on purpose.
    `pointers`: "addresses", "hashed" (%p: pseudonyms) or "unknown".  `named_sites`: call sites are known by
    name only, and their addresses made up.  `guessed_caches`: caches were named by the size of their objects.
    `tasks`: "recorded", "derived" (of sched_switch) or "unknown".  `clock`: its name; `backwards`: how often
    time went back from one event to the next.  `peak`: objects outstanding at one time, about.
    `notes`: sentences.
    """

    tool: str = ""
    files: list[str] = field(default_factory=list)
    losses: str = UNKNOWN_LOSSES
    lost: int = 0
    gaps: int = 0
    overwritten: int = 0
    absent: int = 0
    lines: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)
    cut: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    enabled: list[str] | None = None
    filters: list[str] = field(default_factory=list)
    suspected: list[str] = field(default_factory=list)
    cpus: int = 0
    cpus_missing: list[int] = field(default_factory=list)
    sampled: bool = False
    pointers: str = NOT_KNOWN
    named_sites: bool = False
    guessed_caches: bool = False
    tasks: str = "unknown"
    clock: str = ""
    backwards: int = 0
    peak: int = 0
    notes: list[str] = field(default_factory=list)
