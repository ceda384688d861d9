# SPDX-License-Identifier: Apache-2.0
"""The arguments and options that the reading commands share, worded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def trace_argument(function: F) -> F:
    """The trace to read.  Whether it exists is the reader's to say: that is exit code 3, not 2."""
    return click.argument("trace", metavar="TRACE", type=click.Path(path_type=str))(function)


def json_option(function: F) -> F:
    """`--json`: one object on stdout and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")(function)


def limit_option(default: int) -> Callable[[F], F]:
    """`-l/--limit N`: rows to show; 0 shows all.  `--json` shows all unless -l is given."""
    return click.option(
        "-l",
        "--limit",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"Show at most N rows (default {default}; 0: all). JSON has all unless -l is given.",
    )


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


def row_limit(given: int | None, default: int, as_json: bool) -> int | None:
    """How many rows to show: None for all.  See `limit_option`."""
    if given is None:
        return None if as_json else default
    return given or None
