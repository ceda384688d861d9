# SPDX-License-Identifier: Apache-2.0
"""What a scenario is: a load, its truth, and how it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.verdict.loads.load import Load

SECONDS = 40.0
EVERYWHERE = ("replacing", "retained", "reclaimable", "young")


Objects = Mapping[str, float]  # how many, by cache


@dataclass(frozen=True)
class Scenario:
    """One load whose truth is known.

    Of a leak: `owner` is the cache that must be among those of the finding, `each` the objects of one
    owner, `perhaps` those that may be counted or not (owners.py), `beside` a second owner, leaked one for
    one with it.

    `options`: of `slabtrace record`.  `begins`: the load begins `lead` seconds before the recording, or
    with it.  `killed`: the recorder ends by SIGKILL.  `by_rate`: the rate is compared, not the bytes.
    `between`: only what came between these times (s since the start) is judged.  `also_first`: the first
    so many seconds are judged, too, as a recording of their own.  `may`: classes that the load's own
    findings may have when nothing leaks.
    """

    name: str
    load: type[Load]
    truth: Literal["leak", "flat"]
    owner: str = ""
    each: Objects = field(default_factory=dict)
    perhaps: Objects = field(default_factory=dict)
    beside: Objects = field(default_factory=dict)
    seconds: float = SECONDS
    options: tuple[str, ...] = ()
    begins: Literal["before", "with"] = "before"
    lead: float = 1.0
    between: tuple[float, float] | None = None
    also_first: float = 0.0
    killed: bool = False
    by_rate: bool = False
    may: tuple[str, ...] = EVERYWHERE

    @property
    def what(self) -> str:
        """What happens, in one line."""
        return (self.load.__doc__ or "").splitlines()[0]
