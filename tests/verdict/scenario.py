# SPDX-License-Identifier: Apache-2.0
"""What a scenario is: a load, its truth, and how it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.verdict.loads.load import Load

SECONDS = 40.0
EVERYWHERE = ("replacing", "retained", "reclaimable", "young")


@dataclass(frozen=True)
class Scenario:
    """One load whose truth is known."""

    name: str
    load: type[Load]
    truth: Literal["leak", "flat"]
    owner: str = ""  # of a leak: the cache that must be among those of the finding
    each: Mapping[str, float] = field(default_factory=dict)  # of a leak: objects of an owner, by cache
    beside: Mapping[str, float] = field(default_factory=dict)  # a second owner, leaked one for one with the first
    seconds: float = SECONDS
    options: tuple[str, ...] = ()  # of `slabtrace record`
    begins: Literal["before", "with"] = "before"  # the load, as to the recording
    lead: float = 1.0  # seconds it has run by then
    between: tuple[float, float] | None = None  # only what came between these times is judged (s since the start)
    also_first: float = 0.0  # the first so many seconds are judged, too, as a recording of their own
    killed: bool = False  # the recorder ends by SIGKILL
    sampled: bool = False  # the rate is compared, not the bytes
    may: tuple[str, ...] = EVERYWHERE  # classes that the load's own findings may have when nothing leaks
    note: str = ""

    @property
    def what(self) -> str:
        """What happens, in one line."""
        return (self.load.__doc__ or "").splitlines()[0]
