# SPDX-License-Identifier: Apache-2.0
"""`slabtrace top`: which call sites allocate, keep and grow, live; nothing is stored."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.capture_options import capture_options
from slabtrace.cli.options import choice_option, sort_option
from slabtrace.cli.privileges import tell_limits
from slabtrace.cli.types import Duration
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from slabtrace.analysis.live.trace import LiveTrace
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.recorder import Recorder

SORTS = ("class", "bytes", "outstanding", "allocs", "frees", "growth")
ROWS = 20
PATIENCE_S = 5  # for a proper end
HANGUP = 129  # 128 + SIGHUP, as a shell reports it


STACKS = choice_option(
    "--stacks",
    choices=["none", "all"],
    default="all",
    help="Record kernel stacks, which Enter shows; without them it costs a fraction.",
)


@click.command("top")
@choice_option(
    "--by",
    choices=["cache", "call-site"],
    default="call-site",
    help="One row per slab cache, or per call site in it.",
)
@sort_option(SORTS, "class", "Largest first; class: suspects first, then what grows, then most bytes.")
@click.option(
    "-i", "--interval", type=Duration(), default="1s", show_default=True, help="Time between two updates."
)
@click.option(
    "-b", "--batch", type=click.IntRange(1), metavar="N", help="Print N updates as plain text, then end."
)
@click.option(
    "-l", "--limit", type=click.IntRange(0), default=ROWS, show_default=True, metavar="N",
    help="With --batch: rows of an update; 0 shows all.",
)  # fmt: skip
@capture_options(STACKS, whole=False)
def command(
    by: str, sort: str, interval: float, batch: int | None, limit: int, capture: dict[str, Any]
) -> None:
    """Watch slab memory live: what is allocated from now on and not freed, by call site or cache.

    Every few seconds all is judged as `slabtrace leaks` judges a recording: `class` is that of the row's
    gravest finding, and the second line says what was found. Where some free paths cannot be traced, top
    does not know which objects are in use, so a leak is at most `growing`: `slabtrace record` confirms it.
    `growth` is measured over the last 60 updates.

    Keys: c caches, s call sites, o order, / filter, p pause, Enter stacks of a row, Esc back, q quit.

    \b
    Examples:
      sudo slabtrace top
      sudo slabtrace top --by cache --stacks none
      sudo slabtrace top --batch 5 --interval 2s --sort growth
    """
    if interval < 0.1:
        raise UsageError("--interval is too short", "it must be at least 100ms")
    if batch is None and not all(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("top needs a terminal", "print plain text with --batch N")
    from slabtrace.capture import preflight
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.process.priority import raise_priority

    options = CaptureOptions(**capture, extra={"mode": "top"})
    preflight.require()
    tell_limits(options)
    raise_priority()  # on a busy machine the screen must answer too
    grouping = by.replace("-", "_")
    with _traced(options) as (live, running):
        if batch is None:
            from slabtrace.render.top.app import TopApp

            TopApp(live, grouping, sort, interval, running).run()
        else:
            _print_moments(live, running, grouping, sort, interval, batch, limit)


@contextmanager
def _traced(options: CaptureOptions) -> Iterator[tuple[LiveTrace, Callable[[], bool]]]:
    """The running kernel, traced in a thread: its live tables, and whether it still runs.

    Raises what went wrong in the thread; leaves nothing behind in the kernel.
    """
    with ThreadPoolExecutor(1) as pool:  # loading pandas takes as long as compiling the programs
        loading = pool.submit(import_module, "slabtrace.analysis.live.trace")
        from slabtrace.capture.session import Session

        session = Session(options)
        loading.result()
    from slabtrace.capture.plan import Plan, new_manifest
    from slabtrace.capture.process import privileges
    from slabtrace.capture.recorder import Recorder

    failures: list[BaseException] = []
    try:
        from slabtrace.analysis.live.trace import LiveTrace

        live = LiveTrace(new_manifest(session))
        privileges.become()
        recorder = Recorder(session, live, lambda _: None)

        def record() -> None:
            try:
                recorder.record(Plan(slabs_asked=False, memory_s=None))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=record, name="slabtrace-top")
        with _ended_by_signals(recorder):
            thread.start()
            privileges.give_up()  # this thread's: the screen needs none
            try:
                while thread.is_alive() and not live.manifest.coverage.attached:
                    time.sleep(0.005)  # the tables begin when every program is attached
                yield live, thread.is_alive
            finally:
                recorder.stop()
                thread.join()
    finally:
        session.close()
    if failures:
        raise failures[0]


@contextmanager
def _ended_by_signals(recorder: Recorder) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end it properly; if that takes PATIENCE_S, the process exits.

    Textual waits for ever to write to a terminal that is gone.  The programs are detached at the exit.
    """
    hurry = threading.Timer(PATIENCE_S, os._exit, (HANGUP,))
    hurry.daemon = True

    def end(*_: object) -> None:
        recorder.stop()
        with suppress(RuntimeError):  # a second signal: the timer runs already
            hurry.start()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        hurry.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_moments(
    live: LiveTrace, running: Callable[[], bool], by: str, sort: str, interval: float, number: int, limit: int
) -> None:
    from slabtrace.render.top.text import chosen, head, verdict, write_moment

    live.snapshot(time.monotonic_ns())  # rates are since the snapshot before
    for _ in range(number):
        deadline = time.monotonic() + interval
        while running() and time.monotonic() < deadline:
            time.sleep(min(0.05, interval))
        if not running():
            return
        live.snapshot(time.monotonic_ns())
        frame = live.table(by)
        rows = [cells for _, cells in chosen(frame, live.tables, by, sort)]
        seconds = (time.monotonic_ns() - live.manifest.started_ns) / 1e9
        lines = head(frame, seconds, live), verdict(live)
        write_moment(sys.stdout, lines, rows[: limit or None], by)
        sys.stdout.flush()
