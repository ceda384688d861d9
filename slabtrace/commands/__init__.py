# SPDX-License-Identifier: Apache-2.0
"""The command line: which commands there are, and in which module each one lives.

A command's module is imported only when that command runs, so that `slabtrace --help` and shell
completion answer without loading numpy, pandas, pyarrow, matplotlib or bcc.  Errors are printed
and exit codes set in main.py, nowhere else.
"""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from slabtrace import __version__
from slabtrace.cli.privileges import leave_sudo

RECORDING = "Recording (as root)"
READING = "Reading a trace"  # never as root, even through sudo
SHARING = "Sharing a trace"  # nor these
FLEET = "Many machines"  # nor these
ROOMS = {
    RECORDING: "slabtrace.commands.recording",
    READING: "slabtrace.commands.reading",
    SHARING: "slabtrace.commands.sharing",
    FLEET: "slabtrace.commands.fleet",
}


class Entry(NamedTuple):
    """One command: its heading in the help, and its line there."""

    heading: str
    help: str
    as_root: str = ""  # an option with which a command that reads traces reads this kernel instead


# The command NAME is the attribute `command` of the module NAME in the room of its heading (`import_`: the
# name is a keyword).
COMMANDS: dict[str, Entry] = {
    "record": Entry(RECORDING, "Record the running kernel's slab allocations and frees."),
    "top": Entry(RECORDING, "Watch live which call sites allocate, keep and grow."),
    "watch": Entry(RECORDING, "Record for weeks as a service, judge as it goes, act on findings."),
    "mark": Entry(RECORDING, "Set a mark in the recordings that run now."),
    "census": Entry(RECORDING, "Count the objects that are in use now, and say who holds them."),
    "doctor": Entry(RECORDING, "Say whether this machine can trace, and what to do if not."),
    "demo": Entry(RECORDING, "Leave known numbers of kernel objects behind and find them."),
    "info": Entry(READING, "What was recorded, where, how, and how completely."),
    "leaks": Entry(READING, "Objects not freed, grouped by stack, call site, process or cache."),
    "account": Entry(READING, "Where all memory went, slab or not; also live, or of copies.", "--live"),
    "who": Entry(READING, "Who holds them: commands, processes, cgroups, units, containers."),
    "mismatches": Entry(READING, "Double frees, and other frees that contradict earlier events."),
    "stat": Entry(READING, "Totals, and perf-kmem-like tables by call site or cache."),
    "lifetimes": Entry(READING, "How long objects lived, by call site or cache."),
    "diff": Entry(READING, "Compare what two recordings left outstanding."),
    "check": Entry(READING, "Check a trace against rules, for CI."),
    "caches": Entry(READING, "Each slab cache: traffic, peak, waste, the kernel's own count."),
    "plot": Entry(READING, "Draw usage, rates, lifetimes, … over time as PNG or SVG."),
    "report": Entry(READING, "Write one HTML page about a trace, for a bug report."),
    "flame": Entry(READING, "Draw the stacks of outstanding objects as a flame graph."),
    "export": Entry(SHARING, "Write folded, speedscope, pprof, Perfetto, Parquet, CSV, JSON."),
    "import": Entry(SHARING, "Make a trace of a recording of perf, ftrace, trace-cmd or LTTng."),
    "pack": Entry(SHARING, "Pack a trace into one file, which every command reads too."),
    "unpack": Entry(SHARING, "Unpack a packed trace into a folder."),
    "push": Entry(SHARING, "Push what is outstanding to Pyroscope or Parca, as a profile."),
    "digest": Entry(FLEET, "Make a small Parquet file of each trace, for fleet and databases."),
    "fleet": Entry(FLEET, "Merge traces or digests of many hosts: which leaks, where, since when."),
    "metrics": Entry(FLEET, "Give the newest digest to Prometheus, as a textfile or an endpoint."),
    "completion": Entry("Other", "Print the completion script for bash, zsh or fish."),
}


class LazyGroup(click.Group):
    """A click group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command `cmd_name`; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        room = ROOMS.get(COMMANDS[cmd_name].heading, __name__)
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"{room}.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but for an unknown command, suggest a similar one."""
        from difflib import get_close_matches

        close = get_close_matches(args[0], COMMANDS, 1)
        if args[0] not in COMMANDS and close and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        if args[0] in COMMANDS and not _stays_root(COMMANDS[args[0]], args[1:]):
            leave_sudo()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table above, importing none of them."""
        for heading in dict.fromkeys(entry.heading for entry in COMMANDS.values()):
            with formatter.section(heading):
                formatter.write_dl([(n, e.help) for n, e in COMMANDS.items() if e.heading == heading])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name or, after a dash, an option."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(n, help=e.help) for n, e in COMMANDS.items() if n.startswith(incomplete)]


def _stays_root(entry: Entry, args: list[str]) -> bool:
    """Whether a command keeps the privileges that sudo gave: it records, or reads this kernel."""
    if entry.heading not in (READING, SHARING, FLEET):
        return True
    return bool(entry.as_root) and any(each.partition("=")[0] == entry.as_root for each in args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`slabtrace COMMAND --help` shows a command's options with examples. "
    "Exit codes: 0 done, 1 check or diff found something, 2 usage, "
    "3 the trace is missing, damaged or too new, 4 this machine cannot trace.",
)
@click.version_option(__version__, prog_name="slabtrace", message="%(prog)s %(version)s")
def cli() -> None:
    """Record every slab allocation and free of the running kernel, and say what leaks.

    \b
    sudo slabtrace record -o boot.slab -d 30s    # trace this machine for 30 seconds
    slabtrace leaks boot.slab                    # what was allocated and not freed
    slabtrace plot boot.slab -o boot.png         # each cache's usage over time
    """
