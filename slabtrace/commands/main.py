# SPDX-License-Identifier: Apache-2.0
"""The entry point, and the one place that prints errors and sets exit codes.

A user never sees a traceback: every failure ends as one or two lines on stderr.  With
SLABTRACE_DEBUG=1 the traceback of an unexpected one is shown too.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from io import FileIO, TextIOWrapper

import click
from click.shell_completion import shell_complete

from slabtrace.commands import cli
from slabtrace.errors import USAGE, SlabtraceError
from slabtrace.render.terminal.text import escape

INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a bug of ours, not a verdict about the trace
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
PIPE_CLOSED = 141  # 128 + SIGPIPE: the reader (head, less) had enough
COMPLETION = "_SLABTRACE_COMPLETE"  # set by the scripts of `slabtrace completion`

REMEDIES = {
    errno.ENOSPC: "free some space there, or write somewhere else",
    errno.EDQUOT: "free some of your quota there, or write somewhere else",
    errno.EACCES: "choose a place that you may use, or run it with sudo",
    errno.EPERM: "choose a place that you may use, or run it with sudo",
    errno.EROFS: "choose a place that is not mounted read-only",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run the command line `args` (without the program's name) and return the exit code.

    A command's own return value is the exit code if it is an int, else 0.
    """
    _tolerant_output()
    if not os.environ.get("SLABTRACE_DEBUG"):
        warnings.simplefilter("ignore")  # of libraries; slabtrace's own are lines on stderr
    exit_code = _guarded(lambda: _run_command(args))
    _settle_stdout()
    return exit_code


def _run_command(args: Sequence[str]) -> int:
    """As click's own main(), but leaving interrupts and closed pipes to `_guarded`."""
    completion = os.environ.get(COMPLETION)
    if completion:
        return shell_complete(cli, {}, "slabtrace", COMPLETION, completion)
    try:
        with cli.make_context("slabtrace", list(args)) as context:
            result = cli.invoke(context)
    except click.exceptions.Exit as done:  # --help, --version
        result = done.exit_code
    sys.stdout.flush()  # here, where a closed pipe or a full disk is still handled
    return result if isinstance(result, int) else 0


def _guarded(action: Callable[[], int]) -> int:
    """The exit code of `action`, or of the failure it ended with, which is printed."""
    try:
        return action()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except click.ClickException as error:
        error.show()
        return USAGE
    except SlabtraceError as error:
        return _failed(error.message, error.remedy, error.exit_code)
    except OSError as error:
        return _failed(_os_error_words(error), REMEDIES.get(error.errno or 0, ""), USAGE)
    except MemoryError:
        return _failed("out of memory", "read a shorter trace, or on a larger machine", INTERNAL)
    except Exception as error:
        return _internal(error)


def _os_error_words(error: OSError) -> str:
    words = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {words}" if isinstance(error.filename, str | bytes) else words


def _internal(error: Exception) -> int:
    if os.environ.get("SLABTRACE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _failed(
        f"internal error: {what} (this is a bug; SLABTRACE_DEBUG=1 shows the traceback)", "", INTERNAL
    )


def _failed(message: str, remedy: str, exit_code: int) -> int:
    """Print a failure in one line, and the remedy in another."""
    lines = [f"slabtrace: {message}", f"  {remedy}"] if remedy else [f"slabtrace: {message}"]
    try:
        for line in lines:
            print(escape(line), file=sys.stderr)  # noqa: T201  (the one place)
    except OSError:
        pass  # nobody reads stderr; the exit code still reports it
    return exit_code


def _tolerant_output() -> None:
    """Write characters that the terminal's encoding lacks as escapes, not as an error."""
    # closed by the caller (>&-): sys.stdout is None, and the next file opened would take its descriptor
    sys.stdout = sys.stdout or TextIOWrapper(FileIO(os.devnull, "w"))
    sys.stderr = sys.stderr or TextIOWrapper(FileIO(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _settle_stdout() -> None:
    """Drop what is left in stdout's buffer if it cannot be written: Python would complain at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
