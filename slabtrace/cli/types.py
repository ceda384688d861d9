# SPDX-License-Identifier: Apache-2.0
"""What options may hold besides click's own types: durations, fractions, shares."""

from __future__ import annotations

import re
from typing import Any

import click

_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """`10`, `10s`, `500ms`, `2m`, `1h`, `1d`: seconds as a float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; a usage error for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            self.fail(f"{value!r} is no duration; write 10s, 500ms, 2m or 1h", param, ctx)
        return float(match.group(1)) * _SECONDS[match.group(2)]


class OneIn(click.ParamType[int]):
    """`1/16`: 16."""

    name = "fraction"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """N; a usage error for anything but 1/N."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"1/(\d{1,9})", value.strip())
        if match is None:
            self.fail(f"{value!r} is no sample; write 1/16", param, ctx)
        return int(match.group(1))


class Share(click.ParamType[float]):
    """`2%` or `0.02`: a share, 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share; a usage error for anything else."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)(%?)", value.strip())
        if match is None:
            self.fail(f"{value!r} is no share; write 2%", param, ctx)
        return float(match.group(1)) / (100 if match.group(2) else 1)
