# SPDX-License-Identifier: Apache-2.0
"""Types of options that click does not have: durations, samples (1/N), shares (2%)."""

from __future__ import annotations

import re
from typing import Any

import click

from slabtrace.units import parse_duration

LONGEST_LABEL = 256


class Duration(click.ParamType[float]):
    """`10`, `10s`, `500ms`, `2min`, `1.5h`, `1d` (units.parse_duration): seconds as a float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; a usage error for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(value, bare="s") / 1e9
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OneIn(click.ParamType[int]):
    """`1/16`: 16."""

    name = "fraction"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """N; a usage error for anything but 1/N."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"1/([0-9]{1,9})", value.strip())
        if match is None:
            self.fail(f"{value!r} is not a sample; write 1/16", param, ctx)
        return int(match.group(1))


class Label(click.ParamType[tuple[str, str]]):
    """`role=db`: ("role", "db")."""

    name = "label"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Key and value; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        key, _, text = value.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", key) or "=" not in value:
            self.fail(f"{value!r} is not a label; write role=db", param, ctx)
        if len(text) > LONGEST_LABEL:
            self.fail(f"the label {key!r} has more than {LONGEST_LABEL} characters", param, ctx)
        return key, text


class Share(click.ParamType[float]):
    """`2%` or `0.02`: a share, 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share; a usage error for anything else."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(%?)", value.strip())
        if match is None:
            self.fail(f"{value!r} is not a share; write 2%", param, ctx)
        return float(match.group(1)) / (100 if match.group(2) else 1)
