# SPDX-License-Identifier: Apache-2.0
"""The objects that were inspected when the recording ended (objects.arrow), with the findings they are of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa

from slabtrace.analysis.holders.classes import class_of
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.analysis.pairing.at_end import AtEnd
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.columns import OBJECTS
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Inspection

COLUMNS = OBJECTS.names


def inspected(
    table: pa.Table,
    account: Inspection | None,
    live: EventBatch,
    finding: Positions,
    sites: Sites,
    caches: Caches,
    symbols: Symbols,
) -> pd.DataFrame:
    """columns.OBJECTS, by finding and address.

    `table`: columns as in schema.OBJECTS; `live`: the outstanding objects, and `finding` the rank of the
    finding of each, 0 for none, shape (n,).  Objects that are not outstanding are left out.
    """
    at = AtEnd(plain(table.column("ptr")), plain(table.column("ts_ns"))).rows(live)
    of_live = np.flatnonzero(at >= 0)
    of_live = of_live[np.lexsort((live.ptr[of_live], finding[of_live]))]
    rows = [
        {**row, "references": row["references"] if row["references"] >= 0 else None}
        for row in table.take(pa.array(at[of_live])).to_pylist()
    ]
    call_site = _call_sites(live, sites, symbols)
    site = live.site[of_live]
    whole = bool(account and account.whole)
    frame = pd.DataFrame(
        {
            "finding": finding[of_live].astype(np.int64),
            "ptr": live.ptr[of_live],
            "cache": [caches.names[row] for row in caches.of_site[site].tolist()],
            "bytes_alloc": sites["bytes_alloc"].astype(np.int64)[site],
            "held": [_class(row, whole) for row in rows],
            "kind": [row["kind"] or "" for row in rows],
            "description": [row["description"] or "" for row in rows],
            "references": pd.array([row["references"] for row in rows], dtype="Int64"),
            "holders": [_holders(row, call_site) for row in rows],
        }
    )
    return frame[list(COLUMNS)]


def _class(row: dict[str, object], whole: bool) -> str:
    references, held = row["references"], row["held"]
    return class_of(
        bool(row["in_use"]),
        str(row["kind"] or ""),
        references if isinstance(references, int) else None,
        held if isinstance(held, int) else 0,
        whole,
    )


def _holders(row: dict[str, object], call_site: Callable[[int], str]) -> list[str]:
    """The holders; the nearest with the call site that allocated it, if that was recorded."""
    listed = row["holders"]
    holders = [str(each) for each in listed] if isinstance(listed, list) else []
    nearest = row["holder"]
    where = call_site(nearest) if isinstance(nearest, int) and nearest else ""
    if holders and where:
        holders[0] = f"{holders[0]}, allocated at {where}"
    return holders


def _call_sites(live: EventBatch, sites: Sites, symbols: Symbols) -> Callable[[int], str]:
    """A function that names the call site of the outstanding object at an address; "" if there is none."""
    order = np.argsort(live.ptr, kind="stable")
    ptr, site = live.ptr[order], live.site[order]

    def name(address: int) -> str:
        at = int(np.searchsorted(ptr, np.uint64(address)))
        if at >= len(ptr) or int(ptr[at]) != address:
            return ""
        return symbols.name(int(sites["call_site"][site[at]]))

    return name
