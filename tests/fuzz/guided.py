# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing with atheris: python -m tests.fuzz.guided [SECONDS] [--seed N].

atheris has wheels for few Pythons, so it is not a dependency: run pip install atheris first.  An input
is a file of a small trace, or the packed trace: its first byte chooses the file, its second the command
that reads it, the rest is the content.  The first inputs are the recorder's own files with uncompressed
columns, so that changed bytes become changed values.  An input that makes a command do something wrong
ends the run; it is stored in the folder that is printed, and --again FILE reads it again.
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
    import slabtrace
    from slabtrace.commands.main import run
    from slabtrace.trace.files import files

    # Commands import most modules only when they run: too late to be instrumented.
    for module in pkgutil.walk_packages(slabtrace.__path__, "slabtrace."):
        if not module.name.endswith("__main__"):
            import_module(module.name)

from tests.fuzz.__main__ import COMMANDS, FIXTURES, MEMORY, PROMISED, SECONDS, times_changed

TRACES = ("survivors", "reused")  # together they have rows in every table


def inputs() -> list[tuple[Path, str]]:
    """(trace, one of its files or "" for the packed trace), always in the same order."""
    found = []
    for trace in (FIXTURES / f"{name}.slab" for name in TRACES):
        found += [
            (trace, str(each.relative_to(trace))) for each in sorted(trace.rglob("*")) if each.is_file()
        ]
        found.append((trace, ""))
    return found


def unpacked(path: Path) -> bytes:
    """The content of a file; an Arrow file with uncompressed columns."""
    if path.suffix != ".arrow":
        return path.read_bytes()
    written, table = io.BytesIO(), pa.ipc.open_file(path).read_all()
    with pa.ipc.new_file(written, table.schema) as writer:
        writer.write_table(table)
    return written.getvalue()


def seeds(corpus: Path) -> int:
    """Write the first inputs, each once per command; returns the length of the longest content."""
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
    """The function that atheris calls with each input; it raises AssertionError if a command is wrong."""
    choices = inputs()

    def read(given: bytes) -> None:
        if len(given) < 2:
            return
        folder, name = choices[given[0] % len(choices)]
        arguments = COMMANDS[given[1] % len(COMMANDS)].split()
        path = place / ("t.slab" if name else "t.slab.zip")
        try:
            if name:
                shutil.copytree(folder, path)
            (path / name).write_bytes(given[2:])
            before = times_changed(place)
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = run([arguments[0], str(path), *arguments[1:]])
            printed = err.getvalue()
            assert code in PROMISED, f"exit {code}: {printed}"
            assert code in (0, 1) or printed.startswith("slabtrace"), f"no message on stderr: {printed!r}"
            assert times_changed(place) == before, "files were written"
        except AssertionError:  # libFuzzer stores an input only if a signal ends the process
            (place.parent / "wrong").write_bytes(given)
            raise
        finally:
            if name:
                shutil.rmtree(path, ignore_errors=True)

    return read


def main() -> None:
    """Fuzz for SECONDS; libFuzzer prints its counts and ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=Path, metavar="FILE", help="read this input only")
    arguments = parser.parse_args()
    os.environ["SLABTRACE_DEBUG"] = "1"  # errors come with a traceback
    corpus = Path(tempfile.mkdtemp(prefix="slabtrace-guided-"))
    (corpus / "place").mkdir()
    (corpus / "inputs").mkdir()
    if arguments.again:
        reader(corpus / "place")(arguments.again.read_bytes())
        return
    longest = seeds(corpus / "inputs")
    print(f"inputs, and those that failed: {corpus}", file=sys.stderr)
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
