# SPDX-License-Identifier: Apache-2.0
"""The arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def trace_argument(function: F) -> F:
    """The trace to read.  click does not check that it exists: the reader does, with exit code 3, not 2."""
    return click.argument("trace", metavar="TRACE", type=click.Path(path_type=str))(function)


def json_option(function: F) -> F:
    """`--json`: one object on stdout and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")(function)


def limit_option(default: int) -> Callable[[F], F]:
    """`-l/--limit N`: rows to show; 0 shows all."""
    return click.option(
        "-l",
        "--limit",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"Show at most N rows (default {default}; 0: all). JSON has all unless -l is given.",
    )


def copies_option(function: F) -> F:
    """`--copies`: see Trace.summed()."""
    return click.option(
        "--copies",
        is_flag=True,
        help="List the copies of a kmalloc cache (kmalloc-rnd-NN-SIZE, kmalloc-part-NN-SIZE) one by one, "
        "instead of their sum, kmalloc-SIZE. JSON always lists them.",
    )(function)


def choice_option(
    *names: str, choices: Sequence[str], default: str, help: str, callback: Callable[..., str] | None = None
) -> Callable[[F], F]:
    """An option with a few values, of which one is the default."""
    kind = click.Choice(choices)
    return click.option(*names, type=kind, default=default, show_default=True, help=help, callback=callback)


def by_option(groupings: Sequence[str], default: str, help: str) -> Callable[[F], F]:
    """`--by`; the command gets the name that the tables use: "call_site" of "call-site"."""
    return choice_option(
        "--by",
        choices=groupings,
        default=default,
        help=help,
        callback=lambda context, parameter, value: value.replace("-", "_"),
    )


def sort_option(
    keys: Sequence[str], default: str, help: str = "Sort by this, largest first."
) -> Callable[[F], F]:
    """`-s/--sort`."""
    return choice_option("-s", "--sort", choices=keys, default=default, help=help)


def measure_options(of: str = "") -> Callable[[F], F]:
    """`--what` and `--unit`, the measure of stacks.  `of`: what their help begins with, as "folded: "."""

    def decorate(function: F) -> F:
        what = choice_option(
            "--what",
            choices=["outstanding", "allocated", "churn"],
            default="outstanding",
            help=f"{of}which objects count; churn: allocated and freed.",
        )
        unit = choice_option(
            "--unit", choices=["bytes", "objects"], default="bytes", help=f"{of}count bytes or objects."
        )
        return what(unit(function))

    return decorate


def output_options(help: str, required: bool = True, metavar: str = "FILE") -> Callable[[F], F]:
    """`-o/--output FILE` and `-f/--force`: see cli.output."""

    def decorate(function: F) -> F:
        output = click.option(
            "-o",
            "--output",
            required=required,
            type=click.Path(path_type=Path, dir_okay=False),
            metavar=metavar,
            help=help,
        )
        force = click.option("-f", "--force", is_flag=True, help=f"Overwrite {metavar}.")
        return output(force(function))

    return decorate


def cache_option(function: F) -> F:
    """`--cache GLOB`, repeatable."""
    return click.option(
        "--cache", "caches", multiple=True, metavar="GLOB", help="Only these slab caches, like 'kmalloc-*'."
    )(function)


def call_site_option(function: F) -> F:
    """`--call-site REGEX` (or `--symbol`)."""
    return click.option(
        "--call-site",
        "--symbol",
        "call_site",
        metavar="REGEX",
        help="Only call sites whose symbol (function+0x1a [module]) matches.",
    )(function)


def task_options(function: F) -> F:
    """`--pid N`, `--comm GLOB` and `--cgroup GLOB`, repeatable: only objects that these tasks allocated."""
    pid = click.option(
        "--pid", "pids", multiple=True, type=int, metavar="N", help="Only objects that process N allocated."
    )
    comm = click.option(
        "--comm",
        "comms",
        multiple=True,
        metavar="GLOB",
        help="Only objects allocated by tasks of this name, like 'kworker/*'.",
    )
    cgroup = click.option(
        "--cgroup",
        "cgroups",
        multiple=True,
        metavar="GLOB",
        help="Only objects allocated by tasks then in a cgroup whose path matches, like '/system.slice/*' or "
        "'*/docker-*', or in one below it; * matches / too. Also of cgroups that are gone.",
    )
    return pid(comm(cgroup(function)))
