# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run beside its trace: NAME.json has all that judging it again needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

Step = tuple[int, int, int]  # begin, end (CLOCK_MONOTONIC ns), owners left behind


@dataclass
class Kept:
    """One run of a scenario.

    `left`: the steps that left owners behind.  `sizes`: bytes of an object, by cache.  `shown`: the name that
    the kernel shows for each name of a cache.  `pids`: processes of the load.
    """

    scenario: str
    trace: str  # name of the folder beside
    seconds: float
    release: str
    pids: list[int] = field(default_factory=list)
    left: list[Step] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path: Path) -> Kept:
        kept = cls(**json.loads(path.read_text()))
        kept.left = [(begin, end, owners) for begin, end, owners in kept.left]
        return kept
