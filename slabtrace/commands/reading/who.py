# SPDX-License-Identifier: Apache-2.0
"""`slabtrace who`: who holds what is outstanding, over all caches."""

from __future__ import annotations

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import moment, open_trace, window_options
from slabtrace.cli.options import choice_option, task_options, trace_argument
from slabtrace.columns import WHO

LIMIT = 20


@click.command("who")
@trace_argument
@choice_option(
    "--by",
    choices=["command", "process", "cgroup", "unit", "container", "charged"],
    default="command",
    help="A row for each of these (units of systemd; containers of docker, podman, a kubelet, LXC; "
    "charged: the memory cgroup that is charged).",
)
@task_options
@click.option(
    "--between",
    nargs=2,
    metavar="MARK MARK",
    help="Only objects allocated between two marks (or times) and not freed by the end.",
)
@click.option("--own", is_flag=True, help="Show slabtrace's own objects too. JSON always has them.")
@window_options
@answer_options(LIMIT)
def command(
    trace: str,
    by: str,
    pids: tuple[int, ...],
    comms: tuple[str, ...],
    cgroups: tuple[str, ...],
    between: tuple[str, str] | None,
    own: bool,
    begin: str | None,
    end: str | None,
    form: Form,
) -> None:
    """Show who allocated what is outstanding, over all slab caches.

    A row is a command, however many processes ran it, or what --by says. growth/min is its share of
    suspects and growing findings, whose numbers follow; `slabtrace leaks` shows them. alive: how many of
    its processes lived at the end. The command, parent and cgroup of a process are known also when all are
    gone, of recordings since format 2.2.

    \b
    Examples:
      slabtrace who night.slab
      slabtrace who night.slab --by container
      slabtrace who night.slab --by unit --json | jq '.who[0].units'
    """
    from slabtrace.render.terminal.outstanding.who import write_who

    opened = open_trace(trace, begin, end)
    filters.check_tasks(opened, pids, comms, cgroups)
    times = None if between is None else (moment(opened, between[0]), moment(opened, between[1]))
    rows = opened.who(by, pids, comms, times, cgroups)
    shown = rows if own or form.as_json else rows[~rows["own"].astype(bool)]
    answer(
        form,
        "who",
        trace,
        opened,
        Rows(WHO, shown, by),
        lambda out, some: write_who(out, some, by),
        {"by": by},
    )
