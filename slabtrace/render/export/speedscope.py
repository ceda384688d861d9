# SPDX-License-Identifier: Apache-2.0
"""speedscope's JSON (https://www.speedscope.app/file-format-schema.json): one profile per measure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from slabtrace.render.terminal.stack_tree import UNITS, WHAT, weighted
from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_THEIR_UNITS = {"bytes": "bytes", "objects": "none"}


def write_speedscope(out: BinaryIO, totals: pd.DataFrame, name: str, version: str) -> None:
    """Write all of `totals` (analysis' stack_totals()); `name`: the title in the viewer;
    `version`: of slabtrace.
    """
    numbers: dict[str, int] = {}
    profiles = [_profile(totals, what, unit, numbers) for what in WHAT for unit in UNITS]
    content = {
        "$schema": SCHEMA,
        "exporter": f"slabtrace {version}",
        "name": escape(name),
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": frame} for frame in numbers]},
        "profiles": profiles,
    }
    out.write(json.dumps(content, separators=(",", ":")).encode())


def _profile(totals: pd.DataFrame, what: str, unit: str, numbers: dict[str, int]) -> dict[str, Any]:
    """One profile; new frames get the next number in `numbers`."""
    samples, weights = [], []
    for frames, value in weighted(totals, what, unit):
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in frames])
        weights.append(value)
    return {
        "type": "sampled",
        "name": f"{what} {unit}",
        "unit": _THEIR_UNITS[unit],
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
