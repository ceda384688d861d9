# SPDX-License-Identifier: Apache-2.0
"""`slabtrace census`: the objects in use on this machine, without a recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from slabtrace.cli.options import choice_option, json_option, limit_option
from slabtrace.cli.output import check_new
from slabtrace.cli.types import Duration, Share
from slabtrace.errors import UsageError

TABLES = {"description": "groups", "cache": "caches", "cgroup": "cgroups"}
BY = choice_option("--by", choices=list(TABLES), default="description", help="What a row of the table is.")


@click.command(
    epilog="""\b
Examples:
  sudo slabtrace census                       what the objects in use are, and who holds them
  sudo slabtrace census --by cgroup
  sudo slabtrace census -o before.json -q     keep it, to compare later
  sudo slabtrace census --since before.json   what came since
  slabtrace census after.json --since before.json
""",
)
@BY
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.json",
              help="Write the census into this file, too.")  # fmt: skip
@click.option("--since", type=click.Path(path_type=Path), metavar="OLD.json", help="Show what changed since.")
@click.option("--within", type=Duration(), default="30s", show_default=True,
              help="Stop reading after this time; what was not read is said.")  # fmt: skip
@click.option("--cpu", type=Share(), default="50%", show_default=True,
              help="Compute at most this share of the time, of one CPU.")  # fmt: skip
@click.option("--top", type=click.IntRange(0, 100), default=10, show_default=True, metavar="N",
              help="Look for the holders of some objects of the N largest rows; 0: of none.")  # fmt: skip
@click.option("--depth", type=click.IntRange(1, 4), default=2, show_default=True,
              help="How often memory is searched: for holders, holders of holders, ….")  # fmt: skip
@limit_option(20)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("-q", "--quiet", is_flag=True, help="Print no table.")
@json_option
@click.argument("saved", required=False, metavar="[CENSUS.json]", type=click.Path(path_type=Path))
def command(
    by: str,
    output: Path | None,
    since: Path | None,
    within: float,
    cpu: float,
    top: int,
    depth: int,
    limit: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    saved: Path | None,
) -> None:
    """Count the slab objects that are in use now, by what they are.

    Kernel memory is read through a BPF program; nothing is traced. A file that -o wrote is shown with its
    name as the argument, and needs no root.
    """
    from slabtrace.analysis.holders import census
    from slabtrace.render import json
    from slabtrace.render.terminal.machine.census import write_census, write_changes

    if not 0 < cpu <= 1 or within <= 0:
        raise UsageError("--cpu must be more than 0 % and at most 100 %, and --within more than 0 s")
    old = census.load(since) if since is not None else None
    if output is not None:
        check_new(output, force)
    content = census.load(saved) if saved is not None else _taken(within, cpu, top, depth)
    if output is not None:
        with output.open("w") as file:
            json.write(content, file)
    most = None if limit == 0 else limit or 20
    if as_json:
        json.write(_with_changes(content, old), sys.stdout)
    elif not quiet and old is not None:
        write_changes(sys.stdout, census.changes(old, content, TABLES[by]), TABLES[by], most)
    elif not quiet:
        write_census(sys.stdout, content, census.table(content, TABLES[by]), TABLES[by], most)


def _with_changes(content: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    from slabtrace.analysis.holders import census

    if old is None:
        return content
    changed = {name: census.changes(old, content, name).to_dict("records") for name in TABLES.values()}
    return {**content, "changes": changed}


def _taken(within: float, cpu: float, top: int, depth: int) -> dict[str, Any]:
    """The census of this machine, as JSON's types; kernel addresses are text."""
    from slabtrace.analysis.holders.census import SCHEMA
    from slabtrace.capture import preflight
    from slabtrace.capture.inspecting.census import take
    from slabtrace.cli.privileges import leave_sudo
    from slabtrace.render import json

    preflight.require()
    found = take(within, cpu, top, depth)
    leave_sudo()
    return {"schema": SCHEMA, **json.plain(found.plain())}
