# SPDX-License-Identifier: Apache-2.0
"""The settings of `slabtrace watch`: of the table [watch] of a TOML file, and of options, which go before.

Both are read by the same functions, so a file may hold what an option takes, as text; numbers and lists where
that is natural.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from slabtrace.errors import UsageError
from slabtrace.trace.format.sample import COARSEST_SAMPLE
from slabtrace.units import parse_duration, parse_size
from slabtrace.watching.triggers import Trigger, parse_trigger

LEAST_DISK = 64 << 20
MOST_TRIGGERS, MOST_PARTS = 32, 10_000
_PERIODS = {"h": 3600.0, "hour": 3600.0, "d": 86_400.0, "day": 86_400.0, "week": 7 * 86_400.0}


@dataclass(frozen=True)
class AtMost:
    """At most `number` in `period_s` seconds."""

    number: int
    period_s: float


@dataclass(frozen=True)
class Settings:
    """All settings; each field is named as its key in TOML, and as its option with dashes.

    `folder`: all files of the service.  `rotate`, `keep`: seconds and number of parts of the series.
    `sample`: as `record --sample`, of the series alone.  `disk`: bytes of all files together.  `every`:
    seconds between two judgements.  `cpu`: the share of one CPU that judging may take.  `budget`: as
    `record --budget`; empty: none.  `record`, `inspect`: seconds of a triggered recording, and of its
    inspection.  `timeout`: seconds for the command `on_finding`.  `labels`: of all recordings; these are no
    key, but a table of the file.
    """

    folder: Path = Path("/var/lib/slabtrace")
    rotate: float = 1800.0
    keep: int = 48
    disk: int = 2 << 30
    every: float = 600.0
    cpu: float = 0.0025
    sample: str = "1/16"
    budget: str = ""
    threshold: str = ""
    cache: tuple[str, ...] = ()
    cgroup: str = ""
    when: tuple[Trigger, ...] = ()
    at_most: AtMost = AtMost(4, 86_400.0)
    record: float = 60.0
    inspect: float = 5.0
    on_finding: tuple[str, ...] = ()
    timeout: float = 60.0
    textfile: Path | None = None
    listen: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def part_bytes(self) -> int:
        """When a part of the series ends at the latest: half of the disk is for parts, and for two more."""
        return max(self.disk // 2 // (self.keep + 2), 1 << 20)

    @property
    def triggered_bytes(self) -> int:
        """A triggered recording is ended at this size: two of them, and a report, find room."""
        return self.disk // 8

    def recorder_options(self) -> list[str]:
        """The options of a recorder of this service, besides where and when.

        It reads no configuration itself: one that is wrong now must not end it.
        """
        options = ["--config=/dev/null", *(f"--label={name}={value}" for name, value in self.labels)]
        options += [f"--cache={glob}" for glob in self.cache]
        for name in ("budget", "cgroup"):
            options += [f"--{name}={getattr(self, name)}"] if getattr(self, name) else []
        return options

    def same_recording(self, other: Settings) -> bool:
        """Whether the series can go on under the `other` settings."""
        names = (
            "folder",
            "rotate",
            "keep",
            "disk",
            "sample",
            "budget",
            "threshold",
            "cache",
            "cgroup",
            "labels",
        )
        return all(getattr(self, name) == getattr(other, name) for name in names)


def settings_of(
    table: Mapping[str, Any],
    source: str,
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a table, which is of `source` (a file), of options that were given, and labels.

    Raises UsageError for an unknown key, and for a value that is none, with its name.
    """
    found: dict[str, Any] = {}
    for where, values in ((f"{source}: watch.", table), ("--", options or {})):
        for key, value in values.items():
            name = where + (key.replace("_", "-") if where == "--" else key)
            if key not in _READ:
                known = ", ".join(sorted(_READ))
                raise UsageError(f"{name} is not known", f"known keys of [watch]: {known}")
            try:
                found[key] = _READ[key](value)
            except UsageError as error:
                raise UsageError(f"{name}: {error.message}", error.remedy) from None
            except (ValueError, TypeError) as error:
                raise UsageError(f"{name}: {error}") from None
    return Settings(**found, labels=tuple((labels or {}).items()))


def _path(value: Any) -> Path:
    text = _text(value)
    if not text:
        raise ValueError("a path is missing")
    return Path(text).absolute()


def _text(value: Any) -> str:
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise ValueError(f"{value!r} is no text")
    return str(value)


def _seconds(least: float, most: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        seconds = parse_duration(value if isinstance(value, str) else f"{_number(value)}s", bare="s") / 1e9
        if not least <= seconds <= most:
            raise ValueError(f"{value} is not between {least:g} s and {most:g} s")
        return seconds

    return read


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"{value!r} is no number from {least:,} to {most:,}")
        return number

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _disk(value: Any) -> int:
    size = int(parse_size(value if isinstance(value, str) else str(_number(value))))
    if size < LEAST_DISK:
        raise ValueError(f"it must be at least {LEAST_DISK >> 20}MiB")
    return size


def _share(value: Any) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(%?)", str(value).strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise ValueError(f"{value!r} is no share; write 1%")
    return share


def _sample(value: Any) -> str:
    match = re.fullmatch(r"1/([0-9]{1,9})", str(value).strip())
    number = int(match[1]) if match else 0
    if not 1 <= number <= COARSEST_SAMPLE or number & (number - 1):
        raise ValueError(f"{value!r} is no sample; write 1/N, with N a power of two up to {COARSEST_SAMPLE}")
    return f"1/{number}"


def _at_most(value: Any) -> AtMost:
    match = re.fullmatch(r"([0-9]{1,4})\s*/\s*([a-z]+)", str(value).strip())
    if match is None or match[2] not in _PERIODS:
        raise ValueError(f"{value!r} is not a number of times; write 4/day, or 1/h")
    return AtMost(int(match[1]), _PERIODS[match[2]])


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, [value] if isinstance(value, str) else value))


def _triggers(value: Any) -> tuple[Trigger, ...]:
    texts = _texts(value)
    if len(texts) > MOST_TRIGGERS:
        raise ValueError(f"there may be at most {MOST_TRIGGERS}")
    return tuple(map(parse_trigger, texts))


def _command(value: Any) -> tuple[str, ...]:
    """A command as a list of words, or as one text, which is divided as a shell would."""
    return tuple(shlex.split(value)) if isinstance(value, str) else _texts(value)


_READ: dict[str, Callable[[Any], Any]] = {
    "folder": _path,
    "rotate": _seconds(10, 7 * 86_400),
    "keep": _whole(2, MOST_PARTS),
    "disk": _disk,
    "every": _seconds(10, 86_400),
    "cpu": _share,
    "sample": _sample,
    "budget": lambda value: f"{100 * _share(value):g}%",
    "threshold": lambda value: f"{_seconds(0.05, 120)(value):g}s",
    "cache": _texts,
    "cgroup": _text,
    "when": _triggers,
    "at_most": _at_most,
    "record": _seconds(1, 3600),
    "inspect": _seconds(0, 600),
    "on_finding": _command,
    "timeout": _seconds(1, 3600),
    "textfile": _path,
    "listen": _text,
}
assert {*_READ, "labels"} == {field.name for field in fields(Settings)}  # noqa: S101
