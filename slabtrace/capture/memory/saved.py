# SPDX-License-Identifier: Apache-2.0
"""Saved copies of /proc/meminfo, slabinfo and others, as samples: what somebody sent, or a cron job wrote.

Understood: a folder as sosreport makes it (proc/meminfo and its neighbours in it), folders or files that are
numbered or dated (meminfo.1, slabinfo.1, meminfo.2, …; 2026-11-29/meminfo), one text with many copies one
after the other (each begins with MemTotal), and what `sadf -j` prints of sar's files (sar.py).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from slabtrace.capture.memory import sar, texts
from slabtrace.capture.memory.sources import MOST_BYTES
from slabtrace.capture.memory.texts import Counters
from slabtrace.errors import UsageError

PAGE = 4096  # a copy does not say; /proc has pages of other sizes on some arm64 and ppc64 kernels
MOST_FILES = 100_000
PARSERS: dict[str, Callable[[str], Counters]] = {
    "meminfo": texts.meminfo,
    "slabinfo": lambda text: texts.slabs(text, PAGE),
    "vmstat": lambda text: texts.vmstat(text, PAGE),
    "zoneinfo": lambda text: texts.zoneinfo(text, PAGE),
    "buddyinfo": lambda text: texts.buddyinfo(text, PAGE),
    "vmallocinfo": lambda text: texts.vmallocinfo(text, PAGE),
    "sockstat": lambda text: texts.sockstat(text, PAGE),
    "cgroups": texts.proc_cgroups,
}
_NAME = re.compile(rf"^(?P<file>{'|'.join(PARSERS)})(?P<copy>[^/]*)$")
_NAME_LAST = re.compile(rf"^(?P<copy>[^/]+[._-])(?P<file>{'|'.join(PARSERS)})(\.txt|\.log)?$")
_EPOCH = re.compile(r"(?<!\d)(1\d{9})(?!\d)")
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)(?:[T_. -]?(\d\d)[:-]?(\d\d)(?:[:-]?(\d\d))?)?")
_COPIES = re.compile(r"^(?=MemTotal:)", re.MULTILINE)


class Copies(NamedTuple):
    """Samples in order, what each is called, and whether their times are known (else they are numbered)."""

    samples: list[tuple[int, Counters]]
    labels: list[str]
    timed: bool
    notes: list[str]


class _Copy(NamedTuple):
    label: str
    time_s: float | None
    counters: Counters
    uptime_s: float | None = None


def is_saved(path: Path) -> bool:
    """Whether `path` holds copies, and is no trace: a trace has a manifest, or is an archive."""
    if path.is_dir():
        return not (path / "manifest.json").exists()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) != b"PK\3\4"


def read_copies(paths: Sequence[Path]) -> Copies:
    """All samples in `paths`.  Raises UsageError if there are not two of them; the time is that of the copy's
    name, of the system's uptime beside it, or of the file."""
    notes: list[str] = []
    copies = [copy for path in paths for copy in _of_path(path, notes) if "meminfo.MemFree" in copy.counters]
    if len(copies) < 2:
        raise UsageError(
            f"{len(copies)} of the two copies of /proc/meminfo that are needed found in "
            f"{', '.join(map(str, paths))}",
            "name folders with copies (meminfo.1, slabinfo.1, meminfo.2, …), sosreports, or what `sadf -j` "
            "printed; docs/account.md says how to make them",
        )
    uptimes = [copy.uptime_s for copy in copies]
    if None not in uptimes and len(set(uptimes)) == len(uptimes):  # the date in a name has no time of day
        copies = [copy._replace(time_s=copy.uptime_s) for copy in copies]
    times = [copy.time_s for copy in copies]
    timed = all(time is not None for time in times) and len(set(times)) == len(times)
    if timed:
        copies.sort(key=lambda copy: copy.time_s or 0.0)
    samples = [
        (int((copy.time_s or 0.0) * 1e9) if timed else i * 1_000_000_000, copy.counters)
        for i, copy in enumerate(copies)
    ]
    return Copies(samples, [copy.label for copy in copies], timed, notes)


def _of_path(path: Path, notes: list[str]) -> Iterator[_Copy]:
    if path.is_dir():
        yield from _of_folder(path, notes)
        return
    content = _text(path)
    if content.lstrip()[:1] == "{":
        found = sar.samples(content)
        notes.extend(found.notes)
        yield from (_Copy(label, time_s, counters) for label, time_s, counters in found.samples)
        return
    pieces = _COPIES.split(content)
    if len(pieces) < 2:
        notes.append(f"{path}: no copy of /proc/meminfo in it")
    for before, piece in pairwise(pieces):
        last_line = before.strip().rsplit("\n", 1)[-1]
        number = len(pieces) == 2
        time_s = _time_of(path.name) or path.stat().st_mtime if number else _time_of(last_line)
        yield _Copy(path.name if number else last_line[:40], time_s, texts.meminfo(piece))


def _of_folder(path: Path, notes: list[str]) -> Iterator[_Copy]:
    """The copies in a folder and in the folders below: files with one number or date are one copy."""
    groups: dict[str, dict[str, Path]] = {}
    for file in _files(path):
        relative = file.relative_to(path)
        named = _NAME.match(file.name) or _NAME_LAST.match(file.name)
        if named is None or (named["copy"] and not re.search(r"\d", named["copy"])):
            continue
        folder = str(relative.parent).removesuffix("net").rstrip("/")  # net/sockstat
        key = f"{folder}/{named['copy'].strip('._- ')}".strip("./")
        groups.setdefault(key, {}).setdefault(named["file"], file)
    for key in sorted(groups, key=_natural):
        files = groups[key]
        if "meminfo" in files:
            yield _of_files(key or path.name, files, path, notes)


def _of_files(label: str, files: dict[str, Path], folder: Path, notes: list[str]) -> _Copy:
    counters: Counters = {}
    for name, path in files.items():
        try:
            counters |= PARSERS[name](_text(path))
        except (OSError, ValueError) as error:
            notes.append(f"{path}: {getattr(error, 'strerror', None) or error}")
    uptime = _uptime(files["meminfo"].parent / "uptime")
    time_s = _time_of(label) or _time_of(folder.name) or uptime or files["meminfo"].stat().st_mtime
    return _Copy(label, time_s, counters, uptime)


def _files(folder: Path) -> Iterator[Path]:
    """Plain files below `folder`; links are not followed, so nothing outside of it is read."""
    number = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in ("sys", "var", "etc", "sos_commands"))
        for name in names:
            number += 1
            if number > MOST_FILES:
                raise UsageError(
                    f"{folder} has more than {MOST_FILES:,} files", "name the folder with copies"
                )
            if _NAME.match(name) or _NAME_LAST.match(name):
                yield Path(root) / name


def _text(path: Path) -> str:
    """The text of a plain file.  Raises OSError (also for a link, or a FIFO), ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(22, "not a plain file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES >> 20} MiB")
    return content.decode(errors="backslashreplace")


def _uptime(path: Path) -> float | None:
    try:
        return float(_text(path).split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _time_of(text: str) -> float | None:
    """The time in a name: seconds since 1970, or a date with or without a time of day (UTC)."""
    if found := _EPOCH.search(text):
        return float(found[1])
    if found := _DATE.search(text):
        try:
            return datetime(*(int(each or 0) for each in found.groups()), tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]
        except ValueError:
            return None
    return None


def _natural(key: str) -> list[tuple[bool, int, str]]:
    """An order in which 2 comes before 10."""
    return [
        (each.isdecimal(), int(each) if each.isdecimal() else 0, each)
        for each in re.split(r"(\d{1,18})", key)
    ]
