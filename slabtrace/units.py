# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them: counts, bytes, durations, rates, percentages.

None, NaN and pandas' NA, which stand for "not known", become "-" everywhere.
"""

from __future__ import annotations

NOT_KNOWN = "-"


def count(number: float | None) -> str:
    """`10007` as "10,007"."""
    return NOT_KNOWN if unknown(number) else f"{number:,.0f}"


def size(number: float | None) -> str:
    """A number of bytes in binary units: "640 B", "1.5 KiB", "12.0 GiB"."""
    if number is None or unknown(number):
        return NOT_KNOWN
    power, unit = byte_unit(number)
    return f"{number / 1024**power:.1f} {unit}" if power else f"{number:.0f} B"


def byte_unit(number: float) -> tuple[int, str]:
    """The power of 1024 and the name of the unit that `number` bytes are best shown in."""
    power = 0
    while power < 4 and abs(number) / 1024**power >= 1023.95:  # would be shown as 1024.0
        power += 1
    return power, ("B", "KiB", "MiB", "GiB", "TiB")[power]


def duration(ns: float | None) -> str:
    """A number of nanoseconds: "350 ns", "1.2 ms", "3.4 s", "2 min 05 s", "3 h 10 min", "2 d 4 h"."""
    if ns is None or unknown(ns):
        return NOT_KNOWN
    if ns < 0:
        return f"-{duration(-ns)}"
    for unit, length, limit in (("ns", 1, 1e3), ("us", 1e3, 1e6), ("ms", 1e6, 1e9), ("s", 1e9, 60e9)):
        if ns < limit * 0.9995:
            return f"{ns / length:.0f} {unit}" if unit == "ns" else f"{ns / length:.3g} {unit}"
    seconds = round(ns / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def rate(per_second: float | None) -> str:
    """A number of things a second: "12/s", "3.4 k/s", "4.1 M/s"."""
    if per_second is None or unknown(per_second):
        return NOT_KNOWN
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if abs(per_second) >= factor:
            return f"{per_second / factor:.1f} {unit}/s"
    return f"{per_second:.3g}/s"


def percent(fraction: float | None) -> str:
    """`0.125` as "12.5%"."""
    return NOT_KNOWN if fraction is None or unknown(fraction) else f"{100 * fraction:.1f}%"


def plural(number: int, noun: str) -> str:
    """ "1 object", "23 objects", "2 caches", "2 processes"."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "sh", "ch", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def unknown(number: object) -> bool:
    """Whether `number` stands for "not known": None, NaN, or pandas' NA (which compares to nothing)."""
    return number is None or str(number) in ("nan", "<NA>")
