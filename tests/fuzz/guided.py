# SPDX-License-Identifier: Apache-2.0
"""Inputs led by what they reach in our code (atheris): python -m tests.fuzz.guided [SECONDS] [--seed N].

atheris has wheels for few Pythons, so it is no dependency: pip install atheris, then run this.  An input
is a file of a small trace, or the trace packed: its first byte says which one and its second which command
reads it, the rest is the file.  The first inputs are the recorder's own files, their columns unpacked so
that changes of a byte reach values.  What breaks a promise ends it and stays in the folder it names;
--again FILE reads that once more.
"""

from __future__ import annotations

import argparse
import io
import os
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import atheris
import pyarrow as pa

with atheris.instrument_imports(include=["slabtrace"]):
    from slabtrace import analysis, render, trace
    from slabtrace.commands.main import run
    from slabtrace.trace.files import files

    for package in (trace, analysis, render):  # commands import them only when they run
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)

from tests.fuzz.__main__ import COMMANDS, FIXTURES, MEMORY, PROMISED, SECONDS, standing

TRACES = ("survivors", "reused")  # of every table something


def inputs() -> list[tuple[Path, str]]:
    """(trace, file of it, or "" for all of it packed), in an order that stays."""
    found = []
    for trace in (FIXTURES / f"{name}.slab" for name in TRACES):
        found += [
            (trace, str(each.relative_to(trace))) for each in sorted(trace.rglob("*")) if each.is_file()
        ]
        found.append((trace, ""))
    return found


def unpacked(path: Path) -> bytes:
    """An Arrow file with its columns as they are in memory; any other as it is."""
    if path.suffix != ".arrow":
        return path.read_bytes()
    written, table = io.BytesIO(), pa.ipc.open_file(path).read_all()
    with pa.ipc.new_file(written, table.schema) as writer:
        writer.write_table(table)
    return written.getvalue()


def seeds(corpus: Path) -> int:
    """Write the first inputs, each with each command; returns the largest's length."""
    longest = 0
    for number, (folder, name) in enumerate(inputs()):
        if name:
            content = unpacked(folder / name)
        else:
            with io.BytesIO() as packed:
                files.pack(folder, packed)
                content = packed.getvalue()
        longest = max(longest, len(content))
        for command in range(len(COMMANDS)):
            (corpus / f"{number:02}-{command}").write_bytes(bytes((number, command)) + content)
    return longest


def reader(place: Path) -> Callable[[bytes], None]:
    """What atheris calls with each input; raises AssertionError where a promise is broken."""
    choices = inputs()

    def read(given: bytes) -> None:
        if len(given) < 2:
            return
        folder, name = choices[given[0] % len(choices)]
        words = COMMANDS[given[1] % len(COMMANDS)].split()
        path = place / ("t.slab" if name else "t.slab.zip")
        try:
            if name:
                shutil.copytree(folder, path)
            (path / name).write_bytes(given[2:])
            before = standing(place)
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = run([words[0], str(path), *words[1:]])
            said = err.getvalue()
            assert code in PROMISED, f"exit {code}: {said}"
            assert code in (0, 1) or said.startswith("slabtrace"), f"no line on stderr: {said!r}"
            assert standing(place) == before, "files were written"
        except AssertionError:  # libFuzzer keeps only what ends the process by a signal
            (place.parent / "wrong").write_bytes(given)
            raise
        finally:
            if name:
                shutil.rmtree(path, ignore_errors=True)

    return read


def main() -> None:
    """Fuzz for SECONDS; libFuzzer prints its count and ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=Path, metavar="FILE", help="read this input, and end")
    arguments = parser.parse_args()
    os.environ["SLABTRACE_DEBUG"] = "1"  # where it happened
    corpus = Path(tempfile.mkdtemp(prefix="slabtrace-guided-"))
    (corpus / "place").mkdir()
    (corpus / "inputs").mkdir()
    if arguments.again:
        reader(corpus / "place")(arguments.again.read_bytes())
        return
    longest = seeds(corpus / "inputs")
    print(f"inputs and what they become: {corpus}", file=sys.stderr)
    options = [
        sys.argv[0],
        f"-max_total_time={arguments.seconds}",
        f"-seed={arguments.seed}",
        f"-max_len={2 * longest}",
        f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEMORY >> 20}",
        f"-artifact_prefix={corpus}{os.sep}",
        "-print_final_stats=1",
        str(corpus / "inputs"),
    ]
    atheris.Setup(options, reader(corpus / "place"))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
