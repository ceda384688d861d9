# SPDX-License-Identifier: Apache-2.0
"""`slabtrace watch`: the service that keeps recording, judges as it goes, and acts on what it finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.toml_files import CONFIG, CONFIG_FILE, all_labels, read_toml
from slabtrace.errors import BAD_TRACE, UsageError
from slabtrace.invoker import invoking_user

if TYPE_CHECKING:
    from slabtrace.watching.settings import Settings

# Options, as they are written, and their help.  They are the keys of the table [watch] as well.
OPTIONS = (
    ("--folder", "DIR", "All its files; with --status, where to look (default /var/lib/slabtrace)."),
    ("--rotate", "TIME", "Length of a part of the recording (default 30min)."),
    ("--keep", "N", "Keep the newest N parts (default 48)."),
    ("--disk", "SIZE", "All files together take at most this (default 2GiB)."),
    (
        "--every",
        "TIME",
        "Judge the part that is recorded so often, and each when it has ended (default 10min).",
    ),
    (
        "--cpu",
        "0.25%",
        "Judging takes at most this share of one CPU: a slow judgement makes the next one later.",
    ),
    ("--sample", "1/N", "As of `record`: one in N addresses is recorded (default 1/16; 1/1: all)."),
    ("--budget", "2%", "As of `record`: what recording may cost. It needs CAP_SYS_ADMIN."),
    ("--threshold", "TIME", "As of `record`: objects that are freed sooner are only counted (default 1s)."),
    ("--cgroup", "GLOB", "Only objects that tasks in such cgroups allocate."),
    ("--at-most", "N/day", "Triggered recordings (default 4/day)."),
    ("--record", "TIME", "Length of a triggered recording (default 60s)."),
    ("--inspect", "TIME", "At its end, read so long what the objects are; 0s: not (default 5s)."),
    ("--on-finding", "CMD", "Run this, without a shell, for each new suspected leak; JSON on its stdin."),
    ("--timeout", "TIME", "Kill that command after this time (default 60s)."),
    ("--textfile", "FILE.prom", "Write metrics for node_exporter here."),
    ("--listen", "[ADDRESS:]PORT", "Serve metrics; on loopback unless an address is given."),
)
LISTS = (
    ("--when", "TRIGGER", "Make a full recording when this holds, like 'growth > 10MiB/h for 10min'."),
    ("--cache", "GLOB", "Only these slab caches."),
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, metavar, words in reversed(OPTIONS):
        function = click.option(name, metavar=metavar, help=words)(function)
    for name, metavar, words in reversed(LISTS):
        function = click.option(name, metavar=metavar, multiple=True, help=f"{words} Repeatable.")(function)
    return function


@click.command("watch")
@_options
@click.option(
    "--config", metavar="FILE", help=f"A TOML file with the table [watch]. Default: {CONFIG_FILE}, if there."
)
@click.option("--check", is_flag=True, help="Check the settings, and end.")
@click.option("--status", is_flag=True, help="Say what the service in --folder knows, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --status: print it as one JSON object.")
def command(config: str | None, check: bool, status: bool, as_json: bool, **given: Any) -> int | None:
    """Record for weeks, judge as it goes, and act on what is found: a service.

    It keeps a recorder going (survivors mode, in parts, of which the newest are kept), and judges the whole
    series every few minutes. Findings are known by name since when they were first seen, over reboots.

    A TRIGGER makes a full recording, with stacks and the inspection, its report and its digest:
    `growth > 10MiB/h for 10min` (of SUnreclaim), `SUnreclaim > 4GiB`, `cache kmalloc-64 > 1MiB/h for 30min`,
    `cache 'kmalloc-*' > 2GiB`, `finding`, `finding growing '*msgsnd*' > 1MiB/h`.

    Options go before the table [watch] of the configuration, which has the same names. SIGHUP reads it
    again; if it is wrong, the old settings stay. SIGTERM and Ctrl-C end it properly. docs/watch.md has all.

    \b
    Examples:
      sudo slabtrace watch --folder /var/tmp/w --when 'growth > 10MiB/h for 10min'
      sudo slabtrace watch --on-finding /usr/local/bin/page-me --listen 9796
      slabtrace watch --status
    """
    from slabtrace.render.terminal.text import escape
    from slabtrace.watching.settings import settings_of

    options = {name: value for name, value in given.items() if value not in (None, ())}
    path = config or (str(CONFIG_FILE) if CONFIG_FILE.exists() else "")

    def read() -> Settings:
        table = read_toml(path, CONFIG).get("watch", {}) if path else {}
        if not isinstance(table, dict):
            raise UsageError(f"{path}: watch is not a table; write [watch], and below it its keys")
        return settings_of(table, path, options, all_labels({}, path or None))

    def say(line: str) -> None:
        click.echo(escape(line), err=True)

    settings = read()
    if status:
        return _status(settings.folder, as_json)
    if check:
        say("the settings are in order")
        return None
    _run(read, settings, say)
    return None


def _run(read: Callable[[], Settings], settings: Settings, say: Callable[[str], None]) -> None:
    from slabtrace.capture.budget import COUNTING
    from slabtrace.capture.process import privileges
    from slabtrace.cli.output import make_folder
    from slabtrace.watching.jobs import ThisMachine
    from slabtrace.watching.running import run
    from slabtrace.watching.service import Service

    make_folder(settings.folder)
    privileges.become(invoking_user(), COUNTING if settings.budget else ())
    privileges.pass_on()
    run(Service(read, ThisMachine(), say))


def _status(folder: Path, as_json: bool) -> int:
    from slabtrace.render.terminal.machine.watch import write_watch
    from slabtrace.watching import state

    found = state.load(folder)
    if not found:
        click.echo(f"slabtrace: no slabtrace watch has saved anything in {folder}", err=True)
        return BAD_TRACE
    if as_json:
        json.dump(found, sys.stdout, indent=2)
        click.echo()
    else:
        write_watch(sys.stdout, found)
    return 0
