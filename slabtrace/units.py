# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read and write them: counts, sizes, durations, rates, percentages.

Formatting: None, NaN and pandas' NA, which stand for "not known", become "-" everywhere.
Parsing: options and files of rules share one grammar; it accepts what formatting makes as well.
"""

from __future__ import annotations

import re

NOT_KNOWN = "-"

SIZES = "64MiB, 20KiB, 512"  # how to write one, for the refusals and help texts
DURATIONS = "30s, 5min, 1.5h"
GROWTHS = "1MiB/min, 20KiB/s"
_NS = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "min": 60 * 10**9, "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}  # fmt: skip
_PACES = ((60, "min"), (3600, "h"), (86_400, "d"))
FEW_BYTES = 10
_POWERS = "KMGT"  # of 1024
# Not compiled here: `slabtrace --help` needs none of them.
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_TERM = rf"({_NUMBER})\s*({'|'.join(sorted(_NS, key=len, reverse=True))})"
_DURATION = rf"\+?{_TERM}(?:\s+{_TERM})*"
_SIZE = rf"({_NUMBER})\s*(?:([{_POWERS}])(?:iB)?|B)?"


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


def growth(bytes_per_second: float | None) -> str:
    """A number of bytes a second, by the minute: "15.0 KiB/min"; a few bytes by the hour or day: "64 B/h"."""
    if bytes_per_second is None or unknown(bytes_per_second):
        return NOT_KNOWN
    seconds, unit = _pace(bytes_per_second)
    return f"{size(seconds * bytes_per_second)}/{unit}"


def growth_range(bytes_per_second: float, low: float, high: float) -> str:
    """A growth and its interval, which is cut at 0, in one unit: "3.8 KiB/min (2.8 KiB to 4.9 KiB)"."""
    seconds, unit = _pace(bytes_per_second)
    least, middle, most = (size(seconds * each) for each in (max(low, 0), bytes_per_second, high))
    return f"{middle}/{unit} ({least} to {most})"


def _pace(bytes_per_second: float) -> tuple[int, str]:
    """The time, in seconds and by name, in which this growth is a number of bytes that says something."""
    for seconds, unit in _PACES:
        if abs(bytes_per_second) * seconds >= FEW_BYTES:
            return seconds, unit
    return _PACES[-1] if bytes_per_second else _PACES[0]


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


def parse_duration(text: str, bare: str | None = None) -> int:
    """Nanoseconds of "30s", "5min", "1.5h", "2 min 05 s": a number with ns, us, ms, s, m, min, h or d.

    `bare`: the unit of a number without one; None refuses such a number.  Raises ValueError, whose text
    says how to write it.
    """
    stripped = text.strip()
    if bare is not None and re.fullmatch(_NUMBER, stripped):
        stripped += bare
    if re.fullmatch(_DURATION, stripped) is None:
        raise ValueError(f"{text!r} is not a duration; write {DURATIONS}")
    return sum(int(_times(number, _NS[unit])) for number, unit in re.findall(_TERM, stripped))


def parse_size(text: str) -> float:
    """Bytes of "64MiB", "1.5 K", "512 B", "512": units are powers of 1024, upper or lower case.

    Raises ValueError, whose text says how to write it.
    """
    match = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write {SIZES}")
    power = _POWERS.index(match[2].upper()) + 1 if match[2] else 0
    return _times(match[1], 1024**power)


def parse_growth(text: str) -> float:
    """Bytes a second of "1MiB/min", "20 KiB/s", "300/h": a size, and a unit of time.

    Raises ValueError, whose text says how to write it.
    """
    amount, _, unit = text.partition("/")
    if unit.strip() not in _NS or re.fullmatch(_SIZE, amount.strip(), re.IGNORECASE) is None:
        raise ValueError(f"{text!r} is not a growth; write {GROWTHS}")
    return parse_size(amount) * 1e9 / _NS[unit.strip()]


def _times(number: str, factor: int) -> float:
    """`number`, which may have a decimal point, times `factor`; multiplied first, so that 0.29 s is exact."""
    whole, _, decimals = number.partition(".")
    product, scale = int(whole + decimals) * factor, int(10 ** len(decimals))
    return product / scale if product % scale else product // scale


def unknown(number: object) -> bool:
    """Whether `number` stands for "not known": None, NaN, or pandas' NA (which compares to nothing)."""
    return number is None or str(number) in ("nan", "<NA>")
