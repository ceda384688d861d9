# SPDX-License-Identifier: Apache-2.0
"""watch.json: what the service knows, for people and scripts, and for its own next start.

It is replaced atomically.  A damaged one is put aside, and the service begins without memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

STATE, LOCK = "watch.json", "watch.lock"
SCHEMA = "slabtrace.watch/1"
MOST_BYTES = 4 << 20


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state in `folder`.  Raises OSError."""
    beside = folder / f".{STATE}.new"
    with beside.open("w", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA, **state}, file, indent=1, allow_nan=False)
        file.write("\n")
    beside.replace(folder / STATE)


def load(folder: Path) -> dict[str, Any]:
    """The state in `folder`; empty where there is none, or a damaged one.  Raises OSError."""
    found: Any = None
    with suppress(FileNotFoundError, ValueError, RecursionError), (folder / STATE).open("rb") as file:
        found = json.loads(file.read(MOST_BYTES))
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else {}


def put_aside(folder: Path) -> bool:
    """Rename a state that could not be read; whether there was one."""
    with suppress(OSError):
        (folder / STATE).replace(folder / f"{STATE}.damaged")
        return True
    return False


def times(value: Any) -> list[float]:
    """A list of times out of a state."""
    listed = value if isinstance(value, list) else []
    return [float(each) for each in listed[:1000] if type(each) in (int, float)]
