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
    from slabtrace.analysis.rules.suppressions import Suppressions

F = TypeVar("F", bound=Callable[..., Any])
TABLES = {"check", "suppress"}
MOST_BYTES = 1 << 20


def suppressions_option(function: F) -> F:
    """`--suppressions FILE`."""
    return click.option(
        "--suppressions",
        metavar="FILE",
        help="Leave out groups that the [[suppress]] rules of a TOML file match.",
    )(function)


def read_toml(path: str) -> dict[str, Any]:
    """The tables of a file.  Raises UsageError if it is missing, is not TOML, or has other tables."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UsageError(f"{path} is too long: a file of rules has at most {MOST_BYTES >> 20} MiB")
        content = tomllib.loads(raw.decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    if set(content) - TABLES:
        raise UsageError(
            f"{path}: no such table: {', '.join(sorted(set(content) - TABLES))}",
            "known tables: check, suppress",
        )
    return content


def read_suppressions(*paths: str | None) -> Suppressions:
    """The [[suppress]] rules of files, in order; a path None has none."""
    from slabtrace.analysis.rules.suppressions import Suppressions, parse

    rules = [
        rule for path in paths if path for rule in parse(read_toml(path).get("suppress", []), path).rules
    ]
    return Suppressions(rules)
