# SPDX-License-Identifier: Apache-2.0
"""Cut every file of a small trace at every byte: python -m tests.fuzz --truncate FIXTURE [--step N].

A trace is cut if its recorder died or a copy was interrupted.  The complete batches must be read, the
damage must be reported, and a longer file must not give fewer rows.  The reader reads every cut; the
commands, which are much slower, only those at every Nth byte.  Child processes share the work and write
to /dev/shm where it exists.
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
SHARE = 200  # lengths in one task of a child process


def every_cut(trace: Path) -> Iterator[tuple[str, range]]:
    """Yield (file, up to SHARE lengths) for each file of the trace, and for the packed trace ("")."""
    sizes = {str(p.relative_to(trace)): p.stat().st_size for p in sorted(trace.rglob("*")) if p.is_file()}
    with tempfile.TemporaryFile() as packed:
        files.pack(trace, packed)
        sizes[""] = packed.tell()
    for name, size in sizes.items():
        for begin in range(0, size, SHARE):
            yield name, range(begin, min(begin + SHARE, size))


def cut(trace: Path, name: str, lengths: range, step: int) -> tuple[Counter[str], list[str]]:
    """Read the trace with the file `name` cut to each of `lengths`: (outcomes, what is wrong)."""
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
                continue  # only the final newline is cut: nothing is missing
            target.write_bytes(whole[:length])
            before, (rows, how, what) = rows, _scan(path)
            found = [("reader", how, what or ("fewer rows than when shorter" if rows < before else ""))]
            if length % step == 0:
                found += [(command, *_run(command, path)) for command in COMMANDS]
            for reader, how, what in found:
                ended[f"{name or 'packed'}: {reader}: {how}"] += 1
                if what:
                    wrong.append(f"{name or 'packed'} cut to {length}, {reader}: {what}")
    return ended, wrong


def _scan(path: Path) -> tuple[int, str, str]:
    """Read all tables: (number of rows, outcome, what is wrong); the reader must notice every cut."""
    try:
        reader = TraceReader(path)
        rows = sum(batch.size for batch in reader.events())
        rows += sum(len(reader.table(name)) for name in schema.SIDE_TABLES)
    except TraceError:
        return 0, "refused", ""
    except Exception as error:
        return 0, type(error).__name__, f"{error!r}"
    return (
        rows,
        "damaged" if reader.damage else "whole",
        "" if reader.damage else "damage not reported",
    )


def _run(command: str, path: Path) -> tuple[str, str]:
    """Run a command: (outcome, what is wrong).  It must end with 0, or with 3 and one message."""
    out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([command, str(path)])
    if time.monotonic() - begun > SECONDS:
        return str(code), "slow"
    printed = err.getvalue()
    if code == 0:
        state = "damaged" if "damaged" in out.getvalue() + printed else "whole"
        return f"0, {state}", ""
    well = code == 3 and printed.startswith("slabtrace: ") and len(printed.splitlines()) <= 3
    return str(code), "" if well else f"exit {code}: {printed[-300:]!r}"


def all_cuts(trace: Path, step: int) -> int:
    """Read every cut of `trace`; print what is wrong, and a summary.  Returns the exit code."""
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
