# SPDX-License-Identifier: Apache-2.0
"""`--rotate` and `--keep` of `record`: whether it writes one trace or a series, and where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from slabtrace.errors import UsageError
from slabtrace.units import parse_duration, parse_size

if TYPE_CHECKING:
    from slabtrace.series.parts import Rotation
    from slabtrace.series.series import Series
    from slabtrace.trace.files.place import Place
    from slabtrace.trace.manifest import Manifest
    from slabtrace.trace.writing.writer import TraceWriter

F = TypeVar("F", bound=Callable[..., Any])

_MOST = 1 << 61  # bytes, or ns (73 years): the most that a manifest can hold


class Limit(NamedTuple):
    """The limit of a part: a number (`value`) of bytes or ns (`kind`)."""

    kind: str
    value: int


class LimitType(click.ParamType[Limit]):
    """`2GiB`, `500MiB`, `1h`, `30min`.  In lower case, m is a minute; a number needs a unit."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit:
        """A usage error for anything else, and for zero."""
        limit = _limit(value)
        if limit is None or limit.value == 0:
            self.fail(f"{value!r} is neither a size nor a duration; write 2GiB, 30min, 1.5h", param, ctx)
        return limit


def _limit(text: str) -> Limit | None:
    with suppress(ValueError):
        return Limit("ns", min(parse_duration(text), _MOST))
    with suppress(ValueError):
        number = int(parse_size(text))
        return None if text.strip().isdecimal() else Limit("bytes", min(number, _MOST))
    return None


def rotate_options(function: F) -> F:
    """The two options."""
    rotate = click.option(
        "--rotate",
        type=LimitType(),
        multiple=True,
        metavar="SIZE|TIME",
        help="Begin a new part (NAME.0002.slab, …) after this size or time, like 2GiB or 1h; or give both.",
    )
    keep = click.option(
        "--keep",
        type=click.IntRange(1),
        metavar="N",
        help="Keep only the newest N parts. Objects outstanding in older parts are carried into newer ones.",
    )
    return rotate(keep(function))


def rotation(limits: tuple[Limit, ...], keep: int | None) -> Rotation | None:
    """The rotation asked for, None for a single trace.  Raises UsageError for options that contradict."""
    if not limits:
        if keep is not None:
            raise UsageError("--keep without --rotate has no effect", "add --rotate 1h, or --rotate 2GiB")
        return None
    values = dict(limits)
    if len(values) < len(limits):
        raise UsageError("--rotate is given twice for a size or for a time", "give at most one of each")
    from slabtrace.series.parts import Rotation

    return Rotation(values.get("bytes"), values.get("ns"), keep)


@dataclass(frozen=True)
class Destination:
    """Where to record into: the folder `name`, or with `rotation` the series of that name."""

    name: Path
    rotation: Rotation | None
    force: bool

    def check(self) -> None:
        """Raise UsageError if nothing can be written there; called before the programs are loaded."""
        from slabtrace.series.parts import check_series
        from slabtrace.trace.files.place import check_place

        (check_place if self.rotation is None else check_series)(self.name, self.force)

    def make(self, owner: tuple[int, int] | None) -> Place:
        """The folder, or that of the first part, for `owner` (uid, gid); an old trace there is deleted."""
        from slabtrace.series.parts import make_series
        from slabtrace.trace.files.place import make_place

        return (make_place if self.rotation is None else make_series)(self.name, owner, self.force)

    def writer(self, manifest: Manifest, place: Place) -> TraceWriter | Series:
        """The writer for the recorder; it begins with `place`."""
        from slabtrace.series.series import Series
        from slabtrace.trace.writing.writer import TraceWriter

        if self.rotation is None:
            return TraceWriter(place, manifest)
        return Series(self.name, manifest, self.rotation, place)
