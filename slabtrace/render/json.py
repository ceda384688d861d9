# SPDX-License-Identifier: Apache-2.0
"""The objects that `--json` prints; scripts rely on their names.

Each is {"schema": "slabtrace.NAME/1", "trace", "completeness", "damage", rows}.  Keys may be added
within a schema's version, but not renamed or removed.  Kernel addresses are strings like
"0xffffffff8127bc41": as JSON numbers they would lose digits in jq and JavaScript.  Unknown values are
null.  Times are ns since the start of the recording, sizes bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pandas as pd

# The keys of one row, by the name of the row list.
LEAKS = (
    "rank", "cache", "call_site", "symbol", "stack", "allocated", "freed", "outstanding", "bytes_req",
    "bytes_alloc", "oldest_ns", "newest_ns", "growth_bytes_per_s", "class", "confidence", "comms", "pids",
    "own", "maybe_freed", "in_use", "score", "why", "growth_low", "growth_high", "old", "old_freed",
    "horizon_ns", "sibling_ns", "steadiness", "late_share", "module", "reclaimable", "stack_of", "stacked",
    "stacks", "outstanding_estimate", "outstanding_error", "bytes_estimate", "bytes_error",
)  # fmt: skip
CACHES = (
    "cache", "aliases", "object_size", "size", "allocs", "frees", "inferred", "old_frees", "second_frees",
    "outstanding", "peak_outstanding", "bytes_req", "bytes_alloc", "waste_bytes", "slabinfo_start",
    "slabinfo_end", "unexplained", "slack", "explained", "why",
)  # fmt: skip
RECONCILIATION = ("cache", "aliases", "kernel", "traced", "residue", "slack", "explained", "why")
STAT = (
    "cache", "caches", "call_site", "symbol", "hits", "frees", "inferred", "outstanding", "bytes_req",
    "bytes_alloc", "pingpong", "frag", "waste_bytes", "crossnode", "atomic", "accounted", "zeroed",
    "hits_estimate", "hits_error",
)  # fmt: skip
LIFETIMES = (
    "cache", "call_site", "symbol", "stack", "module", "allocated", "freed", "p50_ns", "p90_ns", "p99_ns",
    "longest_ns", "temporary", "survivors", "histogram",
)  # fmt: skip
CHECK = ("rule", "finding", "cache", "symbol", "stack", "why")
DIFF = (
    "state", "significant", "p", "cache", "stack", "module", "class", "own", "outstanding_old",
    "outstanding_new", "bytes_old", "bytes_new", "growth_old", "growth_new", "why",
)  # fmt: skip
MARKS = ("ts_ns", "text")
PEAKS = ("cache", "ts_ns", "objects", "bytes", "held_by")
POINTERS = ("ptr", "hits", "bytes_req", "bytes_alloc", "pingpong", "frag")
MISMATCHES = (
    "kind", "ptr", "cache", "confidence", "maybe_missed", "offset", "named_cache", "alloc", "first_free",
    "second_free",
)  # fmt: skip

ADDRESSES = frozenset({"ptr", "call_site"})


def document(schema: str, trace: str, completeness: object, damage: Sequence[str]) -> dict[str, Any]:
    """The first keys of every object; the command adds its rows.

    `schema`: the name without prefix and version, as "leaks".  `trace`: the path as given.
    `completeness`: a dataclass or mapping.
    """
    return {
        "schema": f"slabtrace.{schema}/1",
        "trace": trace,
        "completeness": plain(completeness),
        "damage": list(damage),
    }


def rows(frame: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of `frame` as objects with exactly `keys`; null where the frame lacks a column."""
    records = frame.reindex(columns=list(keys)).to_dict("records")
    return [{str(key): plain(value, str(key)) for key, value in record.items()} for record in records]


def plain(value: Any, key: str = "") -> Any:
    """`value` in JSON's own types: numpy scalars and arrays, dataclasses, enums and NaN are converted.

    `key`: the name of the value; a number called so in ADDRESSES becomes a hexadecimal string.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v, str(k)) for k, v in value.items()}
    if isinstance(value, Enum):
        return plain(value.value, key)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return plain(value.tolist(), key)
    return _scalar(value, key)


def write(document: Mapping[str, Any], out: TextIO) -> None:
    """Write `document` to `out` as one indented JSON object and a newline.

    Only ASCII is written: hostile names reach a terminal as \\u escapes.
    """
    json.dump(document, out, indent=2, allow_nan=False)
    out.write("\n")


def _scalar(value: Any, key: str) -> Any:
    if isinstance(value, bool | str):
        return value
    if value is None or str(value) in ("nan", "<NA>", "NaT", "inf", "-inf"):
        return None
    if key in ADDRESSES:
        return f"{int(value):#x}" if value else None  # 0: this grouping does not distinguish it
    return value if isinstance(value, int | float) else str(value)
