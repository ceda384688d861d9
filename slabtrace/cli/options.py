# SPDX-License-Identifier: Apache-2.0
"""The arguments and options that the reading commands share, worded once."""

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


def by_option(groupings: Sequence[str], default: str, help: str) -> Callable[[F], F]:
    """`--by`; the command gets the name that the tables use: "call_site" of "call-site"."""
    return click.option(
        "--by",
        type=click.Choice(groupings),
        default=default,
        show_default=True,
        callback=lambda context, parameter, value: value.replace("-", "_"),
        help=help,
    )


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
        "--cache", "caches", multiple=True, metavar="GLOB", help="Only these slab caches, as 'kmalloc-*'."
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
    """`--pid N` and `--comm GLOB`, both repeatable: whose objects are counted."""
    pid = click.option(
        "--pid", "pids", multiple=True, type=int, metavar="N", help="Only what process N allocated."
    )
    comm = click.option(
        "--comm",
        "comms",
        multiple=True,
        metavar="GLOB",
        help="Only what tasks allocated while called so, as 'kworker/*'.",
    )
    return pid(comm(function))
