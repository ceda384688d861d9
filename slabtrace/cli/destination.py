# SPDX-License-Identifier: Apache-2.0
"""`--rotate` and `--keep` of `record`: where it writes, one trace or a series of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from slabtrace.series.parts import Rotation
    from slabtrace.series.series import Series
    from slabtrace.trace.files.place import Place
    from slabtrace.trace.manifest import Manifest
    from slabtrace.trace.writing.writer import TraceWriter

F = TypeVar("F", bound=Callable[..., Any])

_LIMIT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(KiB|MiB|GiB|s|m|h|d)")
_MOST = 1 << 61  # bytes, or ns (73 years): what a manifest holds
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


class Limit(NamedTuple):
    """What a part may have: bytes, or ns ("bytes" or "ns", and how many)."""

    kind: str
    value: int


class LimitType(click.ParamType[Limit]):
    """`2GiB`, `500MiB`, `1h`, `30m`."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Limit:
        """A usage error for anything else."""
        match = _LIMIT.fullmatch(value.strip())
        kind, units = ("bytes", _BYTES) if match and match[2] in _BYTES else ("ns", _NS)
        limit = int(float(match[1]) * units[match[2]]) if match else 0
        if limit == 0:
            self.fail(f"{value!r} is no size and no time; write 2GiB, 500MiB, 1h or 30m", param, ctx)
        return Limit(kind, min(limit, _MOST))


def rotate_options(function: F) -> F:
    """The two options."""
    rotate = click.option(
        "--rotate",
        type=LimitType(),
        multiple=True,
        metavar="SIZE|TIME",
        help="Begin a new part, NAME.0002.slab and so on, after 2GiB, after 1h; both may be given.",
    )
    keep = click.option(
        "--keep",
        type=click.IntRange(1),
        metavar="N",
        help="Keep the newest N parts; what older ones left outstanding is carried into the newer.",
    )
    return rotate(keep(function))


def rotation(limits: tuple[Limit, ...], keep: int | None) -> Rotation | None:
    """What was asked for, None for one trace.  Raises UsageError for what makes no sense."""
    if not limits:
        if keep is not None:
            raise UsageError(
                "--keep without --rotate keeps nothing apart", "add --rotate 1h, or --rotate 2GiB"
            )
        return None
    values = dict(limits)
    if len(values) < len(limits):
        raise UsageError("--rotate is given twice for a size, or a time", "give one of each at most")
    from slabtrace.series.parts import Rotation

    return Rotation(values.get("bytes"), values.get("ns"), keep)


@dataclass(frozen=True)
class Destination:
    """Where to record into: the folder `name`, or with `rotation` the series of that name."""

    name: Path
    rotation: Rotation | None
    force: bool

    def check(self) -> None:
        """Raise UsageError if nothing can be made there, before anything is set up for it."""
        from slabtrace.series.parts import check_series
        from slabtrace.trace.files.place import check_place

        (check_place if self.rotation is None else check_series)(self.name, self.force)

    def make(self, owner: tuple[int, int] | None) -> Place:
        """The folder, or the first part's, given to `owner` (uid, gid); what was there is deleted."""
        from slabtrace.series.parts import make_series
        from slabtrace.trace.files.place import make_place

        return (make_place if self.rotation is None else make_series)(self.name, owner, self.force)

    def writer(self, manifest: Manifest, place: Place) -> TraceWriter | Series:
        """What the recorder writes into, `place` at first."""
        from slabtrace.series.series import Series
        from slabtrace.trace.writing.writer import TraceWriter

        if self.rotation is None:
            return TraceWriter(place, manifest)
        return Series(self.name, manifest, self.rotation, place)
