# SPDX-License-Identifier: Apache-2.0
"""A Perfetto trace (https://perfetto.dev/docs/reference/trace-packet-proto), for https://ui.perfetto.dev.

Each slab cache is a group of counter tracks: objects and bytes in use, and the sums of allocations
and frees since the start.  Marks are slices that last until the next one; losses are slices too.
Times are CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from slabtrace.render.export.protobuf import field, message
from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd

_SEQUENCE = 1  # id of the one writer of packets
_STATE_CLEARED = 1
_BEGIN, _END, _COUNTER = 1, 2, 4  # TrackEvent.Type
_COUNT, _BYTES = 2, 3  # CounterDescriptor.Unit
_MARKS, _LOSSES, _FIRST_CACHE = 1, 2, 16  # track ids; those of a cache follow one another
COUNTERS = (("objects", _COUNT), ("bytes", _BYTES), ("allocations", _COUNT), ("frees", _COUNT))


def write_perfetto(
    out: BinaryIO, usage: pd.DataFrame, marks: pd.DataFrame, losses: pd.DataFrame, span_ns: tuple[int, int]
) -> None:
    """Write `usage`, `marks` and `losses` (of a Trace) as tracks.

    `span_ns`: start and end of the recording, CLOCK_MONOTONIC.
    """
    begin, end = span_ns
    for packet in _packets(usage, marks, losses, begin, end - begin):
        out.write(field(1, packet))


def _packets(
    usage: pd.DataFrame, marks: pd.DataFrame, losses: pd.DataFrame, begin: int, length: int
) -> Iterator[bytes]:
    yield _track(_MARKS, "marks", flags=_STATE_CLEARED)
    times = [*marks["ts_ns"].tolist(), length]
    for ts_ns, until, text in zip(
        times, times[1:], marks["text"], strict=False
    ):  # there is one more time than marks
        yield from _slice(_MARKS, begin + ts_ns, begin + max(until, ts_ns), escape(text))
    yield _track(_LOSSES, "lost events")
    lost = losses[losses["lost"]]
    for row in lost.to_dict("records"):
        words = f"{row['count']:,} {row['kind']} {escape(row['program'])}".rstrip()
        yield from _slice(_LOSSES, begin + row["begin_ns"], begin + row["end_ns"], words)
    first = _FIRST_CACHE
    for cache, rows in usage.groupby("cache", sort=True):
        yield _track(first, escape(str(cache)))
        yield from _counters(first, rows.sort_values("ts_ns"), begin, length)
        first += 1 + len(COUNTERS)


def _counters(group: int, rows: pd.DataFrame, begin: int, length: int) -> Iterator[bytes]:
    """The tracks of one cache; a value is written where it changes, and at the end."""
    series = (rows["objects"], rows["bytes"], rows["allocs"].cumsum(), rows["frees"].cumsum())
    times = rows["ts_ns"].clip(upper=length).add(begin).tolist()  # the last bucket may reach further
    for track, ((name, unit), values) in enumerate(zip(COUNTERS, series, strict=True), group + 1):
        yield _track(track, name, parent=group, counter=message((3, unit)))
        before = None
        for ts_ns, value in zip(times, values.tolist(), strict=True):
            if value != before or ts_ns == times[-1]:
                before = value
                yield _event(track, ts_ns, _COUNTER, field(30, int(value)))


def _track(uuid: int, name: str, parent: int = 0, counter: bytes | None = None, flags: int = 0) -> bytes:
    """A TracePacket with a TrackDescriptor."""
    descriptor = message((1, uuid), (2, name), (5, parent))
    descriptor += field(8, counter) if counter is not None else b""
    return message((60, descriptor), (10, _SEQUENCE), (13, flags))


def _slice(track: int, begin: int, end: int, name: str) -> Iterator[bytes]:
    yield _event(track, begin, _BEGIN, field(23, name))
    yield _event(track, end, _END)


def _event(track: int, ts_ns: int, kind: int, more: bytes = b"") -> bytes:
    """A TracePacket with a TrackEvent."""
    return message((8, ts_ns), (11, message((9, kind), (11, track)) + more), (10, _SEQUENCE))
