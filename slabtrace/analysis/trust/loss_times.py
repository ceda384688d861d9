# SPDX-License-Identifier: Apache-2.0
"""When events were lost: the ledger's rows as a table, for shading them in pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.trust.losses import HARMLESS, TWIN
from slabtrace.columns import LOSSES
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest

COLUMNS = LOSSES.names


def loss_times(table: pa.Table, manifest: Manifest, started_ns: int) -> pd.DataFrame:
    """The rows of losses.arrow that count something, in time order: COLUMNS.

    Times are since `started_ns`.  No event is missing where only a stack was lost, where a twin had the
    event, or where the program records neither allocations nor frees.
    """
    program = np.array(table.column("program").to_pylist(), dtype=object)
    twin = np.array([name.endswith(TWIN) for name in program], np.bool_)
    kind = plain(table.column("kind"))
    harmless = np.isin(program.astype(str), HARMLESS)
    skipped = (kind == Loss.RECURSION) & bounding(program, twin, manifest) & ~harmless
    known = {int(each): each.name.lower().replace("_", " ") for each in Loss}
    frame = pd.DataFrame(
        {
            "begin_ns": plain(table.column("begin_ns")) - started_ns,
            "end_ns": plain(table.column("end_ns")) - started_ns,
            "cpu": plain(table.column("cpu")),
            "kind": [known.get(each, "unknown") for each in kind.tolist()],
            "program": program,
            "count": plain(table.column("count")).astype(np.int64),
            "lost": skipped | ~np.isin(kind, [Loss.RECURSION, Loss.STACK]),
        }
    )
    shown = (frame["count"] > 0) & (frame["end_ns"] > 0)  # not those of earlier parts of a series
    return frame[shown].sort_values("begin_ns", kind="stable").reset_index(drop=True)


def bounding(program: NDArray[np.object_], twin: NDArray[np.bool_], manifest: Manifest) -> NDArray[np.bool_]:
    """Which ledger rows bound what was skipped: those of twins, and of programs without one, shape (n,)."""
    twins = {*manifest.coverage.twins, *program[twin]}
    return twin | np.array([name + TWIN not in twins for name in program], np.bool_)
