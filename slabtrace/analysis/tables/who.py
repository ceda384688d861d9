# SPDX-License-Identifier: Apache-2.0
"""Who holds what is outstanding: one row for each command, process, cgroup, unit or container.

Or for each memory cgroup that is charged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.grouping.whose import Distinguished
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.tables.identity import MOST, Identities
from slabtrace.analysis.tables.outstanding import own_of, tasks_of
from slabtrace.columns.who import WHO

GROWS = ("suspect", "growing")
MOST_PIDS = 100


def who(
    kept: Kept,
    whose: Distinguished,
    identities: Identities,
    lookup: Lookup,
    finding: Positions,
    findings: pd.DataFrame,
) -> pd.DataFrame:
    """columns.WHO, most bytes first, slabtrace itself last.

    `finding`, shape (n,): the rank of the finding of each live object, 0 for none; `findings`: their table.
    """
    live = kept.objects.live
    number = whose.numbers(live)
    names, member = np.unique(number, return_inverse=True)
    rows, size = np.arange(len(names)), kept.sites["bytes_alloc"].astype(np.int64)[live.site]
    comms, pids, _ = tasks_of(live, member, rows, lookup.tasks)
    grows, suspects = _growth(member, len(names), size, finding, findings)
    frame = pd.DataFrame(
        {
            "name": [whose.text(each) for each in names.tolist()],
            "outstanding": np.bincount(member, minlength=len(names)),
            "bytes_alloc": np.bincount(member, size, len(names)).astype(np.int64),
            "growth_bytes_per_s": grows,
            "suspects": pd.Series(suspects, dtype=object),
            "caches": pd.Series(_caches(kept, member, len(names), size), dtype=object),
            "pids": pd.Series([each[:MOST_PIDS] for each in pids], dtype=object),
            "comms": pd.Series([each[:MOST] for each in comms], dtype=object),
            "own": own_of(live, member, rows, lookup),
            **identities.columns(member, rows),
        }
    )
    order = np.lexsort((-frame["bytes_alloc"].to_numpy(), frame["own"].to_numpy(bool)))
    return frame.iloc[order].reset_index(drop=True)[list(WHO.names)]


def _growth(
    member: Positions, rows: int, size: NDArray[np.int64], finding: Positions, findings: pd.DataFrame
) -> tuple[NDArray[np.float64], list[list[int]]]:
    """(growth, ranks of suspects) of each row: its share by bytes in each finding that grows."""
    share = growth_of_objects(finding, size, findings)
    suspects: list[list[int]] = [[] for _ in range(rows)]
    suspect = np.append(0, findings["rank"].to_numpy(np.intp)[(findings["class"] == "suspect").to_numpy()])
    for row, rank in np.unique(np.stack([member, finding]), axis=1).T.tolist():
        if rank and rank in suspect:
            suspects[row].append(rank)
    return np.bincount(member, share, rows).astype(np.float64), suspects


def growth_of_objects(
    finding: Positions, size: NDArray[np.int64], findings: pd.DataFrame, column: str = "growth_bytes_per_s"
) -> NDArray[np.float64]:
    """The growth (`column`) of suspects and growing findings, divided among their objects by bytes.

    `finding`: the rank of the finding of each object, 0 for none; `size`: of each (bytes); shape (n,).
    """
    grows = np.zeros(len(findings) + 1)
    growing = findings["class"].isin(GROWS).to_numpy()
    grows[findings["rank"].to_numpy(np.intp)[growing]] = findings[column].to_numpy()[growing]
    total = np.bincount(finding, size, len(grows))
    return grows[finding] * size / np.maximum(total[finding], 1)


def _caches(kept: Kept, member: Positions, rows: int, size: NDArray[np.int64]) -> list[list[str]]:
    """The names of the caches of each row, most bytes first."""
    number = len(kept.caches.names) + 1
    keys, which = np.unique(
        member * number + kept.caches.of_site[kept.objects.live.site], return_inverse=True
    )
    found: list[list[str]] = [[] for _ in range(rows)]
    for at in np.argsort(-np.bincount(which, size), kind="stable").tolist():
        found[int(keys[at]) // number].append(kept.caches.names[int(keys[at]) % number])
    return found
