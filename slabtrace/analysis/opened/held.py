# SPDX-License-Identifier: Apache-2.0
"""The tables of who holds what is outstanding, and of the oldest of these objects."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import slabtrace.columns as tables
from slabtrace.columns.table import documented

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.grouping.kept import Question
    from slabtrace.analysis.opened.judging import Judging
    from slabtrace.analysis.opened.recorded import Recorded

Between = tuple[str | int, str | int]


class Held:
    """A part of slabtrace.api.Trace, which judges, and makes questions of parameters."""

    _recorded: Recorded

    @property
    def _judging(self) -> Judging:
        raise NotImplementedError

    def _question(
        self,
        pid: Collection[int],
        comm: Collection[str],
        between: Between | None = None,
        cgroup: Collection[str] = (),
    ) -> Question:
        raise NotImplementedError

    def cgroup_paths(self) -> list[str]:
        """Every cgroup that a process was in, as in /proc/PID/cgroup, sorted; [] where that is not known."""
        return sorted(set(self._recorded.processes.cgroups.path.values()))

    @documented(tables.WHO)
    def who(
        self,
        by: str = "command",
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: Between | None = None,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """Who holds what is outstanding, over all caches.

        `by`: "command", "process", "cgroup", "unit", "container" or "charged" (the memory cgroup that is
        charged); ValueError for another.  The other parameters are those of `leaks`.
        """
        return self._judging.who(by, self._question(pid, comm, between, cgroup))

    @documented(tables.OBJECTS)
    def inspected(
        self,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: Between | None = None,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """What outstanding objects are, and who held them when the recording ended.

        The parameters are those of `leaks`.  `manifest.inspection` says where was searched.
        """
        return self._judging.inspected(self._question(pid, comm, between, cgroup))

    @documented(tables.OLDEST)
    def oldest(
        self,
        most: int = 5,
        ranks: Collection[int] | None = None,
        pid: Collection[int] = (),
        comm: Collection[str] = (),
        between: Between | None = None,
        cgroup: Collection[str] = (),
    ) -> pd.DataFrame:
        """The `most` oldest owners of each finding, one by one, with lines for drgn and crash.

        `ranks`: of these findings only.  The other parameters are those of `leaks`.
        """
        return self._judging.oldest(self._question(pid, comm, between, cgroup), most, ranks)
