# SPDX-License-Identifier: Apache-2.0
"""Every file of a small trace cut at every byte: python -m tests.fuzz --truncate FIXTURE [--step N].

A trace that was cut is one whose recorder died, or whose copying broke off: what is whole is read, and
what is not is said; the longer a file, the more of it.  The reader reads every cut, commands (far slower)
those at every Nth byte.  Children share the work; each writes to memory where there is a /dev/shm.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from slabtrace.commands.main import run
from slabtrace.errors import TraceError
from slabtrace.trace.files import files
from slabtrace.trace.format import schema
from slabtrace.trace.reading.reader import TraceReader

COMMANDS = ("info", "stat", "leaks")
SECONDS = 30
SHARE = 200  # lengths a child is given at once


def every_cut(trace: Path) -> Iterator[tuple[str, range]]:
    """(file, lengths) for all files of the trace, and for it packed (""), a share at a time."""
    sizes = {str(p.relative_to(trace)): p.stat().st_size for p in sorted(trace.rglob("*")) if p.is_file()}
    with tempfile.TemporaryFile() as packed:
        files.pack(trace, packed)
        sizes[""] = packed.tell()
    for name, size in sizes.items():
        for begin in range(0, size, SHARE):
            yield name, range(begin, min(begin + SHARE, size))


def cut(trace: Path, name: str, lengths: range, step: int) -> tuple[Counter[str], list[str]]:
    """Read the trace, the file `name` cut to each of `lengths`: (how it ended, what is wrong)."""
    warnings.simplefilter("ignore")
    ended: Counter[str] = Counter()
    wrong = []
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="slabtrace-cut-", dir=shared) as place:
        path = Path(place) / ("t.slab" if name else "t.slab.zip")
        if name:
            shutil.copytree(trace, path)
        else:
            with path.open("wb") as file:
                files.pack(trace, file)
        target = path / name
        whole = target.read_bytes()
        rows = 0
        for length in lengths:
            if not whole[length:].strip(b"\n"):
                continue  # the last line's end: nothing is missing
            target.write_bytes(whole[:length])
            before, (rows, how, what) = rows, _scan(path)
            found = [("reader", how, what or ("fewer rows than of a shorter file" if rows < before else ""))]
            if length % step == 0:
                found += [(command, *_run(command, path)) for command in COMMANDS]
            for reader, how, what in found:
                ended[f"{name or 'packed'}: {reader}: {how}"] += 1
                if what:
                    wrong.append(f"{name or 'packed'} cut to {length}, {reader}: {what}")
    return ended, wrong


def _scan(path: Path) -> tuple[int, str, str]:
    """(rows of all tables, how a reading ended, what is wrong with that): every cut is noticed."""
    try:
        reader = TraceReader(path)
        rows = sum(batch.size for batch in reader.events())
        rows += sum(len(reader.table(name)) for name in schema.SIDE_TABLES)
    except TraceError:
        return 0, "refused", ""
    except Exception as error:
        return 0, type(error).__name__, f"{error!r}"
    return rows, "damaged" if reader.damage else "whole", "" if reader.damage else "nothing is said"


def _run(command: str, path: Path) -> tuple[str, str]:
    """(how a command ended, what is wrong with that): 0 and what is damaged said, or 3 and one message."""
    out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([command, str(path)])
    if time.monotonic() - begun > SECONDS:
        return str(code), "slow"
    said = err.getvalue()
    if code == 0:
        told = "damaged" if "damaged" in out.getvalue() + said else "whole"
        return f"0, {told}", ""
    well = code == 3 and said.startswith("slabtrace: ") and len(said.splitlines()) <= 3
    return str(code), "" if well else f"exit {code}: {said[-300:]!r}"


def all_cuts(trace: Path, step: int) -> int:
    """Every cut of `trace`; a summary, and what is wrong.  The exit code."""
    ended: Counter[str] = Counter()
    bad = 0
    with ProcessPoolExecutor() as pool:
        shares = [pool.submit(cut, trace, name, lengths, step) for name, lengths in every_cut(trace)]
        for share in shares:
            counted, wrong = share.result()
            ended.update(counted)
            bad += len(wrong)
            print(*wrong, sep="\n", end="\n" if wrong else "", flush=True)
    for how, count in sorted(ended.items()):
        print(f"{count:8,}  {how}")
    print(f"{trace.name}: {sum(ended.values()):,} readings of cut files, {bad} of them wrong")
    return 1 if bad else 0
