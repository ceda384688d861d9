# SPDX-License-Identifier: Apache-2.0
"""Absurd values for every option of every command: python -m tests.fuzz --options.

An impossible value must end with exit code 2 and a message.  No value may cause a traceback, a hang, or
use all memory of the machine (/dev/full can be read without end).
"""

from __future__ import annotations

import io
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import click

from slabtrace.commands import cli
from slabtrace.commands.main import run

TRACE = str(Path(__file__).resolve().parents[2] / "fixtures" / "slow-leak.slab")
DEVICES = ("/dev/full", "/dev/null")
VALUES = (
    *(
        "",
        "-1",
        "0",
        "1",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 40,
        "1" * 400 + "s",
        "0.0000000001s",
        "1/0",
        "1/3",
        "0s",
        "-5s",
        "1e30h",
    ),
    *("1" * 400 + "s", "0.0000000001s", "1" * 18 + "h"),
    *("0%", "1000%", "x", "x" * 5000, "é" * 300, "\udcff", "\x1b[31m", "%s{}", "*", "[", "(?", "--", "-"),
    *("..", "../..", "/", *DEVICES, "/nonexistent/x"),
)
ARGUMENTS = {
    "record": ["-d", "1ms", "-o", "/nonexistent/t.slab"],
    "diff": [TRACE, TRACE],
    "completion": ["bash"],
    "export": [TRACE, "--to", "csv"],
}
WRITES = ("plot", "report", "flame", "export", "pack")
LIVE = ("top", "demo", "doctor", "mark")
SECONDS, MEMORY, PROMISED = 20, 6 << 30, {0, 1, 2, 3, 4}


def command_lines() -> Iterator[list[str]]:
    """Yield command lines, each with one value for one option."""
    with click.Context(cli) as context:
        commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    for name, command in commands.items():
        if command is None or name in LIVE:
            continue
        arguments = [name, *ARGUMENTS.get(name, [TRACE]), *(["-o", "o", "--force"] if name in WRITES else [])]
        for each in command.params:
            if isinstance(each, click.Option) and not each.is_flag:
                option = max(each.opts, key=len)
                yield from ([*arguments, option, *[value] * each.nargs] for value in VALUES)


def all_options() -> int:
    """Run all command lines; the exit code is 1 if one of them did something wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    ended: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="slabtrace-options-") as place, chdir(place):
        for arguments in command_lines():
            out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
            with redirect_stdout(out), redirect_stderr(err):
                code = run(arguments)
            ended[f"{arguments[0]}: {code}"] += 1
            took = time.monotonic() - begun
            lines = err.getvalue()
            if (
                code not in PROMISED
                or took > SECONDS
                or (code in (2, 3, 4) and not lines.startswith(("slabtrace", "Usage: slabtrace")))
            ):
                bad += 1
                print(f"{arguments}: {code} after {took:.0f} s: {lines[-300:]!r}", flush=True)
    for how, count in sorted(ended.items()):
        print(f"{count:8,}  {how}")
    if not all(Path(device).is_char_device() for device in DEVICES):
        bad += 1
        print("a device was replaced by a file: mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/full c 1 7")
    print(f"{sum(ended.values()):,} command lines, {bad} of them wrong; as uid {os.geteuid()}")
    return 1 if bad else 0
