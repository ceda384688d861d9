# SPDX-License-Identifier: Apache-2.0
"""The TOML file of rules and suppressions that `check` and `leaks` take."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from slabtrace.analysis.leaks.suppressions import Suppressions

F = TypeVar("F", bound=Callable[..., Any])
TABLES = {"check", "suppress"}
MOST_BYTES = 1 << 20


def suppressions_option(function: F) -> F:
    """`--suppressions FILE`."""
    return click.option(
        "--suppressions", metavar="FILE", help="Leave out what a TOML file's [[suppress]] rules match."
    )(function)


def read_toml(path: str) -> dict[str, Any]:
    """The file's tables.  Raises UsageError for one that is not there, no TOML, or holds something else."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UsageError(f"{path} is too long for a file of rules: over {MOST_BYTES >> 20} MiB")
        content = tomllib.loads(raw.decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    if set(content) - TABLES:
        raise UsageError(
            f"{path}: no such table: {', '.join(sorted(set(content) - TABLES))}",
            "it may have check, suppress",
        )
    return content


def read_suppressions(*paths: str | None) -> Suppressions:
    """The [[suppress]] rules of files, in order; none of no files."""
    from slabtrace.analysis.leaks.suppressions import Suppressions, parse

    rules = [
        rule for path in paths if path for rule in parse(read_toml(path).get("suppress", []), path).rules
    ]
    return Suppressions(rules)
