# SPDX-License-Identifier: Apache-2.0
"""The objects that `--json` prints; scripts rely on their names.

Each is {"schema": "slabtrace.NAME/VERSION", "trace", "completeness", "damage", rows}.  Keys may be added
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

    from slabtrace.columns import Table

VERSIONS = {"leaks": 2}  # of schemas that lost or renamed a key; the others are version 1
ADDRESSES = frozenset({"ptr", "call_site", "begin"})


def document(schema: str, trace: str, completeness: object, damage: Sequence[str]) -> dict[str, Any]:
    """The first keys of every object; the command adds its rows.

    `schema`: the name without prefix and version, as "leaks".  `trace`: the path as given.
    `completeness`: a dataclass or mapping.
    """
    return {
        "schema": f"slabtrace.{schema}/{VERSIONS.get(schema, 1)}",
        "trace": trace,
        "completeness": plain(completeness),
        "damage": list(damage),
    }


def rows(frame: pd.DataFrame, table: Table) -> list[dict[str, Any]]:
    """The rows of `frame` as objects with all keys of `table`; null where the frame lacks a column."""
    records = frame.reindex(columns=list(table.json_keys)).to_dict("records")
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
