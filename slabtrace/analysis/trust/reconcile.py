# SPDX-License-Identifier: Apache-2.0
"""Each cache's change by the kernel's own count and as traced, and the likely reason of the difference."""

from __future__ import annotations

from typing import Any

import pandas as pd

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.trust.account import Account
from slabtrace.analysis.trust.confidence import ALLOCATIONS, FREES
from slabtrace.analysis.trust.filters import PARTIAL_FILTERS, filtered, recorded_caches
from slabtrace.analysis.trust.losses import Losses
from slabtrace.columns import RECONCILIATION
from slabtrace.trace.manifest import Manifest

COLUMNS = RECONCILIATION.names
FILTERED = "the recording was filtered"  # by something else than --cache: the counts cannot be compared
PARKED = "free objects parked on CPUs, which the kernel counts as in use"


def reconcile(
    account: Account, caches: Caches, inferred: Counts, losses: Losses, manifest: Manifest
) -> pd.DataFrame:
    """One row for each cache that slabinfo knows, largest difference first: COLUMNS.

    Caches that --cache left out of the recording have no row: there is nothing to compare.
    `inferred`: inferred frees by cache, shape (c,).
    """
    columns = {name: getattr(account, name) for name in ("kernel", "traced", "residue", "slack", "known")}
    columns["inferred"] = inferred
    frame = pd.DataFrame({"cache": caches.names, "aliases": caches.aliases, **columns})
    recorded = recorded_caches(manifest, caches.names, caches.aliases)
    frame = frame[frame["known"] & recorded].copy()
    larger = frame[["kernel", "traced"]].abs().max(axis=1).clip(lower=1)
    frame["explained"] = (1 - frame["residue"].abs() / larger).clip(lower=0)
    frame["why"] = [_why(row, losses, manifest) for row in frame.to_dict("records")]
    frame = frame.sort_values("residue", key=abs, ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)


def _why(row: dict[Any, Any], losses: Losses, manifest: Manifest) -> str:
    """The likely reason of a difference; a missing event is one only if it has the right sign."""
    residue = row["residue"]
    if residue == 0:
        return ""
    if filtered(manifest, PARTIAL_FILTERS):
        return FILTERED
    missed_frees = residue < 0 and row["inferred"] > 0
    if abs(residue) <= row["slack"] and not missed_frees:
        return PARKED
    paths = ALLOCATIONS if residue > 0 else FREES
    untraced = [path.path for path in manifest.coverage.unattached if path.path in paths]
    reasons = [f"through {' or '.join(untraced)}, which cannot be traced on this kernel"] if untraced else []
    if losses.total:
        reasons.append(f"among the {losses.total:,} lost events")
    what = "allocations" if residue > 0 else "frees"
    return f"{what} {' or '.join(reasons)}" if reasons else f"unknown: {what} on a path that is not known"
