# SPDX-License-Identifier: Apache-2.0
"""How fast a text of ftrace is imported on one core, and how much memory that takes, by its length.

    python -m benchmarks.importing [LINES[xTIMES] …]

Each length is imported in a process of its own, pinned to one CPU.  The text has 300 tasks and 800 call
sites; half of its lines are frees.  8000000x9 is a text of 8,000,000 lines that is there nine times.  CPU
time is compared with that of Python's `re` matching the same lines one by one, which is what a parser without
NumPy needs at least.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording

LENGTHS = ("500000", "2000000")
LIVE = 20_000  # objects outstanding at one time
PATTERN = re.compile(
    rb"^(.*?)-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d+): (\w+): call_site=(\S+) ptr=([0-9a-f]+)(.*)$", re.MULTILINE
)


def write(path: Path, lines: int) -> None:
    """Write a text of so many lines."""
    random, live, now = Random(1), [], 100.0
    sites = [(f"caller_{n}+0x{n:x}/0x200", random.choice((32, 64, 96, 192, 512))) for n in range(800)]
    tasks = [(f"worker/{n}", 1000 + n) for n in range(300)]
    with path.open("w") as file:
        file.write(f"# tracer: nop\n#\n# entries-in-buffer/entries-written: {lines}/{lines}   #P:4\n#\n")
        for number in range(lines):
            now += 3e-6
            (comm, tid), (site, size) = random.choice(tasks), random.choice(sites)
            if len(live) < 2 or (random.random() < 0.5 and len(live) < LIVE):
                live.append(0xFFFF888000000000 + 64 * number)
                rest = f"bytes_req={size} bytes_alloc={size} gfp_flags=GFP_KERNEL node=-1 accounted=false"
                event, ptr = "kmalloc", live[-1]
            else:
                at = random.randrange(len(live))
                live[at], live[-1] = live[-1], live[at]
                event, ptr, rest = "kfree", live.pop(), ""
            file.write(
                f"{comm:>16}-{tid:<7} [{number % 4:03}] ..... {now:12.6f}: {event}: call_site={site} "
                f"ptr={ptr:016x} {rest}".rstrip()
                + "\n"
            )


def repeat(path: Path, times: int) -> None:
    """Append what a file holds to it, until it is there so many times."""
    size = path.stat().st_size
    with path.open("rb") as source, path.open("ab") as file:
        for _ in range(times - 1):
            source.seek(0)
            left = size
            while left:
                left -= file.write(source.read(min(left, 1 << 24)))


def measured(path: Path, place: Path) -> tuple[float, int]:
    """(CPU seconds, peak RSS in bytes) of importing `path` in a child."""
    read, written = os.pipe()
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        begun = time.process_time()
        import_recording([Source(path)], place / "t.slab", force=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        os.write(written, f"{time.process_time() - begun} {peak}".encode())
        os._exit(0)
    os.close(written)
    with os.fdopen(read) as answer:
        seconds, peak = answer.read().split()
    os.waitpid(child, 0)
    return float(seconds), int(peak)


def one_by_one(path: Path) -> float:
    """CPU seconds for matching each line of `path` with one regular expression, fields and all."""
    begun = time.process_time()
    with path.open("rb") as file:
        for line in file:
            found = PATTERN.match(line)
            if found:
                found.groups()
    return time.process_time() - begun


def main() -> None:
    """Print a row for each length."""
    lengths = sys.argv[1:] or LENGTHS
    print("     lines      MB   CPU s     lines/s   peak MB   re alone, lines/s   ratio")
    with tempfile.TemporaryDirectory(prefix="slabtrace-import-") as folder:
        path = Path(folder) / "trace.txt"
        for length in lengths:
            lines, times = (int(each or 1) for each in length.partition("x")[::2])
            write(path, lines)
            repeat(path, times)
            lines *= times
            seconds, peak = measured(path, Path(folder))
            alone = one_by_one(path) if times == 1 else float("nan")
            print(
                f"{lines:10,} {path.stat().st_size / 1e6:7.0f} {seconds:7.2f} {lines / seconds:11,.0f}"
                f" {peak / 1e6:9.0f} {lines / alone:19,.0f} {alone / seconds:7.2f}"
            )


if __name__ == "__main__":
    main()
