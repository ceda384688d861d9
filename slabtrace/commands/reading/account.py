# SPDX-License-Identifier: Apache-2.0
"""`slabtrace account`: where all memory went, slab or not; of a trace, this machine, or saved copies."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from slabtrace.cli.answer import Form, answer_options
from slabtrace.cli.opening import open_trace, window_options
from slabtrace.cli.options import output_options
from slabtrace.cli.output import check_new, check_suffix, replace, say_written
from slabtrace.cli.types import Duration
from slabtrace.columns import ACCOUNT, COUNTERS
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from slabtrace.analysis.memory.series import Series
    from slabtrace.api import Trace

LIMIT = 3
FORMATS = (".png", ".svg")


class Account(NamedTuple):
    """What is shown, wherever it is from."""

    source: str  # trace, live or copies
    table: pd.DataFrame
    sentences: Sequence[str]
    counters: pd.DataFrame
    over_time: pd.DataFrame
    trace: Trace | None = None
    notes: Sequence[str] = ()


@click.command("account")
@click.argument("paths", metavar="[TRACE|COPIES…]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--live",
    type=Duration(),
    metavar="TIME",
    help="Watch this machine for so long, without a trace or BPF. As root it sees more.",
)
@window_options
@output_options("Also draw the parts over time; the name ends with .png or .svg.", required=False)
@answer_options(LIMIT)
def command(
    paths: tuple[Path, ...],
    live: float | None,
    begin: str | None,
    end: str | None,
    output: Path | None,
    force: bool,
    form: Form,
) -> None:
    """Show where the memory of a machine went between two moments, and how much of that is slab.

    The parts add up to all memory: each page is in one of them. Under slab and vmalloc stand the caches and
    callers that changed most (-l). "not counted" are pages that no counter of the kernel counts: pipes, page
    fragments of network drivers, rings. (sockets) and (pipes) are in other parts as well.

    COPIES are saved copies of /proc/meminfo, better with /proc/slabinfo and others beside them: a folder with
    meminfo.1, slabinfo.1, meminfo.2, …, folders of sosreport, a log of many copies, or what
    `sadf -j FILE -- -r ALL` prints.

    \b
    Examples:
      sudo slabtrace account --live 60s
      slabtrace account night.slab
      slabtrace account night.slab --from warm --to end -o memory.png
      slabtrace account copies/
      slabtrace account sosreport-monday/ sosreport-friday/ --json | jq -r '.sentences[0]'
    """
    if output is not None:
        check_suffix(output, FORMATS)
        check_new(output, force)
    found = _found(paths, live, begin, end)
    if output is not None:
        _draw(found, output)
    _write(found, ", ".join(map(str, paths)), form)


def _found(paths: Sequence[Path], live: float | None, begin: str | None, end: str | None) -> Account:
    if (live is None) == (not paths):
        raise UsageError("one of TRACE, COPIES and --live is needed", "slabtrace account --help has examples")
    if live is not None:
        return _of_this_machine(live, begin or end)
    from slabtrace.capture.memory.saved import is_saved

    if len(paths) == 1 and not is_saved(paths[0]):
        return _of_trace(open_trace(str(paths[0]), begin, end))
    return _of_copies(paths, begin or end)


def _of_trace(opened: Trace) -> Account:
    table = opened.account()
    return Account("trace", table, opened.account_sentences(), opened.counters(), opened.memory(), opened)


def _of_this_machine(seconds: float, window: str | None) -> Account:
    from slabtrace.analysis.memory.series import from_samples
    from slabtrace.capture.memory.live import watch_memory

    _check_no_window(window, "--live")
    samples, unread = watch_memory(seconds, progress=_progress)
    _progress(None)
    notes = [f"{name}: {reason}" for name, reason in unread.items()]
    return _of_series("live", from_samples(samples), notes)


def _of_copies(paths: Sequence[Path], window: str | None) -> Account:
    from slabtrace.analysis.memory.series import from_samples
    from slabtrace.capture.memory.saved import read_copies

    _check_no_window(window, "saved copies")
    copies = read_copies(paths)
    return _of_series("copies", from_samples(copies.samples, copies.labels, copies.timed), copies.notes)


def _check_no_window(window: str | None, what: str) -> None:
    if window:
        raise UsageError(f"--from and --to choose a part of a trace, not of {what}", "leave them out")


def _of_series(source: str, series: Series, notes: Sequence[str]) -> Account:
    from slabtrace.analysis.memory import account as accounts
    from slabtrace.analysis.memory.words import all_sentences

    table = accounts.account(series)
    over_time = accounts.over_time(series, int(series.ts_ns[0]))
    sentences = all_sentences(table, series, list(notes))
    return Account(source, table, sentences, accounts.counters(series), over_time, notes=notes)


def _write(found: Account, path: str, form: Form) -> None:
    from slabtrace.render import json
    from slabtrace.render.terminal.machine.account import write_account
    from slabtrace.render.terminal.verdict import write_verdict

    opened, out = found.trace, sys.stdout
    completeness = None if opened is None else opened.completeness()
    if form.as_json:
        head = json.document("account", path, completeness, [] if opened is None else opened.damage)
        more: dict[str, Any] = {"source": found.source, "sentences": found.sentences, "unread": found.notes}
        listed = {
            ACCOUNT.json_list: json.rows(found.table, ACCOUNT),
            "counters": json.rows(found.counters, COUNTERS),
        }
        json.write({**head, **json.plain(more), **listed}, out)
        return
    write_account(out, found.table, found.sentences, form.most)
    if opened is not None and completeness is not None:
        write_verdict(out, path, completeness, opened.damage)


def _draw(found: Account, output: Path) -> None:
    from slabtrace.cli.pictures import Subject
    from slabtrace.render.plots.canvas import Notes, save
    from slabtrace.render.plots.memory import draw_memory

    notes = Notes.nothing() if found.trace is None else Subject(found.trace, lambda frame: frame, 1).notes()
    content = io.BytesIO()
    title = f"All memory ({found.source})"
    save(lambda: draw_memory(found.over_time, notes, title), content, output.suffix.lower()[1:])
    replace(output, content.getvalue())
    say_written(output)


def _progress(share: float | None) -> None:
    """A line on stderr while this machine is watched, if that is a terminal; None removes it."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K" if share is None else f"\rreading counters: {share:.0%} ", nl=False, err=True)
