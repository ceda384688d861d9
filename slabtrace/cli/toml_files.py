# SPDX-License-Identifier: Apache-2.0
"""The TOML files that commands take: rules and suppressions, and the configuration of a machine.

Example, /etc/slabtrace.toml of a machine whose recordings all have two labels:

    [labels]
    role = "db"
    rack = 7
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slabtrace.cli.types import Label
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from slabtrace.analysis.rules.suppressions import Suppressions

F = TypeVar("F", bound=Callable[..., Any])
RULES = ("check", "suppress")  # tables of a file of rules
CONFIG = ("labels", "watch")  # and of the configuration
CONFIG_FILE = Path("/etc/slabtrace.toml")
MOST_BYTES = 1 << 20
MOST_LABELS = 64


def suppressions_option(function: F) -> F:
    """`--suppressions FILE`."""
    return click.option(
        "--suppressions",
        metavar="FILE",
        help="Leave out groups that the [[suppress]] rules of a TOML file match.",
    )(function)


def label_options(function: F) -> F:
    """`--label NAME=VALUE` and `--config FILE`, given to the command as `labels`, a dict, and `config`."""
    label = click.option(
        "--label",
        "labels",
        type=Label(),
        multiple=True,
        callback=_once_each,
        metavar="NAME=VALUE",
        help="A label of the trace, like role=db; `slabtrace info` shows it. Repeatable.",
    )
    config = click.option(
        "--config",
        metavar="FILE",
        help="A TOML file whose [labels] the trace gets, too; --label goes before it. "
        f"Default: {CONFIG_FILE}, if it is there.",
    )
    return label(config(function))


def _once_each(
    context: click.Context, parameter: click.Parameter, value: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    """Labels by name.  Raises UsageError for two of one name."""
    names = [name for name, _ in value]
    if len(set(names)) < len(names):
        raise UsageError(f"--label {next(name for name in names if names.count(name) > 1)} is given twice")
    return dict(value)


def all_labels(given: dict[str, str], config: str | None, default: Path = CONFIG_FILE) -> dict[str, str]:
    """The labels of the configuration and those `given`, which go before.

    Raises UsageError if the file cannot be read, if it has what is no label, and for too many.
    """
    path = config or (str(default) if default.exists() else None)
    labels = {**(_labels_of(path) if path else {}), **given}
    if len(labels) > MOST_LABELS:
        raise UsageError(f"at most {MOST_LABELS} labels can be given, not {len(labels)}")
    return labels


def _labels_of(path: str) -> dict[str, str]:
    """The table [labels] of a file."""
    table = read_toml(path, CONFIG).get("labels", {})
    if not isinstance(table, dict):
        raise UsageError(f'{path}: labels is not a table; write [labels], and below it role = "db"')
    labels = {}
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{path}: the value of the label {name!r} is neither a text nor a number")
        try:
            Label().convert(f"{name}={value}", None, None)
        except click.UsageError as error:
            raise UsageError(f"{path}: {error.message}") from None
        labels[name] = str(value)
    return labels


def read_toml(path: str, tables: Collection[str] = RULES) -> dict[str, Any]:
    """The tables of a file.  Raises UsageError if it is missing, is not TOML, or has others than `tables`."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UsageError(f"{path} is too long: such a file has at most {MOST_BYTES >> 20} MiB")
        content = tomllib.loads(raw.decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    if set(content) - set(tables):
        raise UsageError(
            f"{path}: no such table: {', '.join(sorted(set(content) - set(tables)))}",
            f"known tables: {', '.join(sorted(tables))}",
        )
    return content


def read_suppressions(*paths: str | None) -> Suppressions:
    """The [[suppress]] rules of files, in order; a path None has none."""
    from slabtrace.analysis.rules.suppressions import Suppressions, parse

    rules = [
        rule for path in paths if path for rule in parse(read_toml(path).get("suppress", []), path).rules
    ]
    return Suppressions(rules)
