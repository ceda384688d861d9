# SPDX-License-Identifier: Apache-2.0
"""Read damaged traces, each with a random command; exit code 1 if a command did something wrong.

A command must end with 0, 1, 2 or 3 within 30 s and 4 GiB, explain a refusal on stderr, and write no
file except its output.  Forked children run a hundred cases each, so that a crash is found and its
case is named; `--seed N --only CASE` repeats that case.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

from slabtrace.commands.main import run
from slabtrace.trace.files import files
from tests.fuzz import imports
from tests.fuzz.damage import as_part, damage_archive, damage_folder
from tests.fuzz.options import all_options
from tests.fuzz.truncate import all_cuts

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
TRACES = ("double-free", "lossy", "slow-leak", "truncated", "old-kernel", "survivors")  # both formats
SERIES = ("lossy", "slow-leak", "survivors")  # traces that may be made a part of a series
COMMANDS = (
    "info",
    "leaks",
    "mismatches",
    "stat",
    "caches",
    "lifetimes",
    "check",
    "leaks --by process",
    "stat --by ptr",
)
WRITING = (
    "report -o {}/out/o.html",
    "plot --kind usage -o {}/out/o.svg",
    "plot --kind lifetimes -o {}/out/o.png",
    "plot --kind call-sites -o {}/out/o.png",
    "flame -o {}/out/o.html",
    "flame --what churn -o {}/out/o.svg",
    "export --to folded -o {}/out/o",
    "export --to speedscope -o {}/out/o",
    "export --to pprof -o {}/out/o",
    "export --to perfetto -o {}/out/o",
    "export --to parquet -o {}/out/o",
    "export --to csv --table stat -o {}/out/o",
    "export --to json --table mismatches -o {}/out/o",
    "pack -o {}/out/o.zip",
    "pack --redact -o {}/out/o.zip",
    "unpack -o {}/out/o.slab",
    "diff --all",
)
SECONDS, MEMORY, BATCH = 30, 4 << 30, 100
PROMISED = {0, 1, 2, 3}


Case = Callable[[int, int, Path, tuple[str, ...]], tuple[str, str]]


def times_changed(place: Path) -> dict[Path, int]:
    """When each file was last changed, except the output that the command line names (out/o*)."""
    return {
        each: 0 if each.is_dir() else each.lstat().st_mtime_ns
        for each in place.rglob("*")
        if not str(each.relative_to(place)).startswith("out/o")
    }


def case(seed: int, number: int, place: Path, commands: tuple[str, ...]) -> tuple[str, str]:
    """Make case `number` and read it: (command and exit code, what is wrong or "")."""
    random = Random(f"{seed} {number}")
    trace = FIXTURES / f"{random.choice(TRACES)}.slab"
    path = place / "t.slab"
    if trace.stem in SERIES and random.random() < 0.3:
        trace = shutil.copytree(trace, place / "source" / trace.name)
        as_part(trace)
    if random.random() < 0.3:
        with path.open("wb") as file:
            files.pack(trace, file)
        done = damage_archive(random, path)
    else:
        shutil.copytree(trace, path)
        done = " and ".join(damage_folder(random, path) for _ in range(random.choice((1, 1, 2))))
    command = random.choice(commands)
    arguments = command.format(place).split()
    if commands is COMMANDS and random.random() < 0.3:
        arguments.append("--json")
    if arguments[0] == "diff":
        arguments.append(str(trace))
    (place / "out").mkdir()
    before = times_changed(place)
    out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([arguments[0], str(path), *arguments[1:]])
    took = time.monotonic() - begun
    wrong = []
    if code not in PROMISED:
        wrong.append(f"exit {code}: {err.getvalue().strip()[-500:]}")
    if code in (2, 3) and not err.getvalue().startswith("slabtrace"):
        wrong.append(f"no message on stderr: {err.getvalue()!r}")
    if took > SECONDS:
        wrong.append(f"took {took:.0f} s")
    if (now := times_changed(place)) != before:
        wrong.append(f"files were written: {sorted(str(each) for each in now.keys() ^ before.keys())}")
    return (
        f"{command.replace('{}/', '')}: {code}",
        f"{trace.name} {done}, {command}: {'; '.join(wrong)}" if wrong else "",
    )


def batch(seed: int, numbers: range, commands: tuple[str, ...], one: Case) -> None:
    """Run cases in a child; each prints its outcome as a line, so that the parent knows where it stopped."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.setitimer(signal.ITIMER_PROF, SECONDS * 10)  # CPU time: the machine may be busy
    signal.alarm(SECONDS * 100)
    gc.disable()  # not worth its time for a hundred cases
    warnings.simplefilter("ignore")
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="slabtrace-fuzz-", dir=shared) as place:
            ended, wrong = one(seed, number, Path(place), commands)
        print(f"{number}\t{ended}\t{wrong!r}", flush=True)


def parent(seed: int, cases: range, commands: tuple[str, ...], one: Case = case) -> int:
    """Run all cases in batches; print what is wrong, and a summary.  Returns the exit code."""
    ended: Counter[str] = Counter()
    bad, at = 0, cases.start
    while at < cases.stop:
        numbers = range(at, min(at + BATCH, cases.stop))
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(write, 1)
            ended_well = False
            try:
                batch(seed, numbers, commands, one)
                ended_well = True
            except Exception:  # an error of the fuzzer itself
                traceback.print_exc()
            finally:
                os._exit(not ended_well)
        os.close(write)
        with os.fdopen(read) as lines:
            for line in lines:
                number, how, wrong = line.rstrip("\n").split("\t", 2)
                at = int(number) + 1
                ended[how] += 1
                if wrong != "''":
                    bad += 1
                    print(f"case {number}: {wrong}", flush=True)
        status = os.waitpid(child, 0)[1]
        if status:
            bad += 1
            print(f"case {at}: its process ended with {os.waitstatus_to_exitcode(status)}", flush=True)
            at += 1
    for how, count in sorted(ended.items()):
        print(f"{count:8,}  {how}")
    print(f"seed {seed}: cases {cases.start:,} to {at - 1:,}, {bad} of them wrong")
    return 1 if bad else 0


def main() -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("cases", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="CASE", help="begin with this case")
    parser.add_argument("--writing", action="store_true", help="commands that write files: report, pack, ...")
    parser.add_argument("--only", type=int, metavar="CASE", help="run this case only, in this process")
    parser.add_argument("--truncate", metavar="FIXTURE", help="cut each of its files at every byte instead")
    parser.add_argument("--step", type=int, default=1, help="run commands only on every Nth cut")
    parser.add_argument("--imports", action="store_true", help="import damaged recordings of other tools")
    parser.add_argument("--options", action="store_true", help="give absurd values to every option instead")
    arguments = parser.parse_args()
    if arguments.options:
        return all_options()
    commands = WRITING if arguments.writing else COMMANDS
    one = imports.case if arguments.imports else case
    if arguments.truncate is not None:
        return all_cuts(FIXTURES / f"{arguments.truncate}.slab", arguments.step)
    if arguments.only is not None:
        with tempfile.TemporaryDirectory(prefix="slabtrace-fuzz-") as place:
            print(*one(arguments.seed, arguments.only, Path(place), commands), sep="\n")
        return 0
    return parent(arguments.seed, range(arguments.first, arguments.cases), commands, one)


if __name__ == "__main__":
    sys.exit(main())
