# SPDX-License-Identifier: Apache-2.0
"""Options of `record` and `top` that become fields of capture.options.CaptureOptions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from slabtrace.cli.options import choice_option
from slabtrace.cli.types import Duration, OneIn, Share

F = TypeVar("F", bound=Callable[..., Any])

# What events can hold, and PID_MAX_LIMIT: a manifest with larger numbers is refused (typed_json.py).
SIZE, PID = click.IntRange(0, (1 << 32) - 1), click.IntRange(1, 1 << 22)

_MODE = (
    choice_option(
        "--mode",
        choices=["events", "survivors"],
        default="events",
        help="survivors: the kernel pairs allocations and frees, and reports one by one only the objects "
        "that live longer than --threshold. For recordings of days.",
    ),
    click.option(
        "--threshold",
        "threshold_s",
        type=Duration(),
        default="1s",
        show_default=True,
        help="With --mode survivors: objects freed sooner are only counted.",
    ),
    click.option(
        "--live-objects",
        type=click.IntRange(1),
        metavar="N",
        help="With --mode survivors: how many outstanding objects the kernel has room for (default "
        "1,000,000; 64 to 128 bytes each).",
    ),
)
_FILTERS = (
    click.option("--cache", multiple=True, metavar="GLOB", help="Only these slab caches."),
    click.option("--pid", type=PID, metavar="N", help="Only objects that process N allocates."),
    click.option(
        "--follow", is_flag=True, help="With --pid: also processes that N, or one of these, starts."
    ),
    click.option("--comm", metavar="GLOB", help="Only objects allocated by tasks of this name."),
    click.option(
        "--cgroup",
        metavar="GLOB",
        help="Only objects allocated by tasks in a cgroup whose path matches, like '/system.slice/*' or "
        "'*/docker-*', or in one below it; * matches / too. Also cgroups made while recording.",
    ),
)
_OTHER_MEMORY = (
    click.option(
        "--percpu",
        is_flag=True,
        help="Also record per-CPU memory: who allocates it, and what is not freed. It is shown as the cache "
        "(percpu).",
    ),
    click.option(
        "--pages",
        is_flag=True,
        help="Also record pages that the kernel allocates for itself: not those of slabs, of processes and "
        "of files. They are shown as the caches (pages order 0), …, one object for each page.",
    ),
    click.option(
        "--vmalloc",
        is_flag=True,
        help="Also record areas of vmalloc (later than Linux 6.1), as the cache (vmalloc).",
    ),
)
_SIZES = (
    click.option("--min-size", type=SIZE, metavar="BYTES", help="Only objects of at least this size."),
    click.option("--max-size", type=SIZE, metavar="BYTES", help="Only objects of at most this size."),
)
_COST = (
    click.option(
        "--sample",
        type=OneIn(),
        default=1,
        metavar="1/N",
        help="Record one in N addresses, N a power of two: all events of an address, or none.",
    ),
    click.option(
        "--budget",
        type=Share(),
        metavar="2%",
        help="Measure what the recording costs, and keep it below this share of all CPUs' time: first "
        "without stacks, then with --sample.",
    ),
)
_BUFFER = (
    click.option(
        "--buffer",
        "buffer_mib",
        type=int,
        metavar="MIB",
        help="Ring memory per CPU (default 64, less if memory is small).",
    ),
)
_TWINS = (
    choice_option(
        "--twins",
        choices=["auto", "none", "frees", "all"],
        default="auto",
        help="Which tracepoints get a second program, which records the events that the kernel skips. Fewer "
        "cost less, and events are lost. auto: all, but none with --sample or --budget.",
    ),
)


def capture_options(stacks: Callable[[F], F], whole: bool = True) -> Callable[[F], F]:
    """The options, given to the command as `capture`, a dict of CaptureOptions' fields.

    `stacks`: the command's own --stacks.  `whole`: all options; False: those of `top`.
    """
    parts = (*_MODE, stacks, *_OTHER_MEMORY, *_FILTERS, *_SIZES, *_COST, *_BUFFER, *_TWINS) if whole else ()
    options: tuple[Any, ...] = parts or (stacks, *_FILTERS, *_BUFFER)

    def decorate(function: F) -> F:
        names: list[str] = []

        @functools.wraps(function)
        def command(*args: Any, **values: Any) -> Any:
            capture = {name: values.pop(name) for name in names}
            return function(*args, capture=capture, **values)

        before = {each.name for each in getattr(function, "__click_params__", ())}
        result: Any = command
        for option in reversed(options):
            result = option(result)
        names += [each.name for each in result.__click_params__ if each.name not in before]
        return result  # type: ignore[no-any-return]

    return decorate
