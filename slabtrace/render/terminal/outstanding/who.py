# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace who`, and of who allocated a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, command_column, name_column, write_table
from slabtrace.units import count, growth, plural, size, unknown

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = (Column("bytes"), Column("objects"), Column("growth/min"))
SUSPECTS_SHOWN = 3
COMMAND_SHOWN = 60  # characters


def write_who(out: TextIO, rows: pd.DataFrame, by: str) -> None:
    """Write `rows` (columns.WHO) as one table."""
    if rows.empty:
        out.write("nothing outstanding\n")
        return
    pid = (Column("pid"),) if by == "process" else ()
    suspects = (Column("suspects"),) if any(len(each) for each in rows["suspects"]) else ()
    columns = (*NUMBERS, *suspects, Column("processes", right=False), *pid)
    cells = (
        [*_numbers(row), *(_suspects(row) for _ in suspects), _processes(row), *_names(row, by)]
        for row in rows.to_dict("records")
    )
    write_table(
        out,
        (*columns, name_column(by) if by not in ("command", "process") else command_column("command")),
        cells,
    )


def _numbers(row: dict[Any, Any]) -> list[str]:
    return [
        size(row["bytes_alloc"]),
        count(row["outstanding"]),
        growth(row["growth_bytes_per_s"]).removesuffix("/min") if row["growth_bytes_per_s"] > 0 else "-",
    ]


def _suspects(row: dict[Any, Any]) -> str:
    return ", ".join(f"#{each}" for each in list(row["suspects"])[:SUSPECTS_SHOWN]) or "-"


def _processes(row: dict[Any, Any]) -> str:
    return f"{count(row['processes'])}{fate(row)}"


def fate(row: dict[Any, Any]) -> str:
    """Whether the processes lived at the end: ", alive", ", all gone", ", 3 alive"; "" if it is not known."""
    if unknown(row["alive"]):
        return ""
    alive, processes = int(row["alive"]), int(row["processes"])
    if not alive:
        return ", gone" if processes == 1 else ", all gone"
    return f", {count(alive)} alive" if alive < processes else ", alive"


def parent(row: dict[Any, Any]) -> str:
    """The program of the parent that most objects are of: "cron"; "" if it is not known."""
    first = next(iter(row["parents"]), "")
    return first.split(" ", 1)[0].rpartition("/")[2]


def identity(finding: dict[Any, Any]) -> str:
    """The commands, parent, fate and cgroups of who allocated a finding, and which memory cgroup is charged.

    As "48 processes of `postqueue -p` (parent cron), all gone; cgroup /system.slice/cron.service; charged to
    it"; "" where none of it is known.
    """
    commands, cgroups = list(finding["commands"]), [each for each in finding["cgroups"] if each != "/"]
    said = []
    if commands:
        of = f" (parent {parent(finding)})" if parent(finding) else ""
        said.append(
            f"{_number(finding)}`{short(commands[0])}`{_others(commands, 'command')}{of}{fate(finding)}"
        )
    if cgroups:
        said.append(f"cgroup {cgroups[0]}{_others(cgroups, 'cgroup')}")
    return "; ".join([*said, *filter(None, [charged(finding, cgroups)])])


def _number(finding: dict[Any, Any]) -> str:
    """ "5 processes of " one command, or "5 processes: " of several; "" for a single process."""
    if finding["processes"] <= 1:
        return ""
    return f"{plural(finding['processes'], 'process')}{': ' if len(finding['commands']) > 1 else ' of '}"


def charged(finding: dict[Any, Any], shown: list[str]) -> str:
    """As "charged to memory cgroup /a (40 of 41 objects), while the tasks were in /b"; "" if it is not known.

    `shown`: cgroups of the tasks that were named just before.  The memory cgroup of the tasks is named where
    it is another one.
    """
    paying = [each for each in finding["charged"] if each["number"]]
    first = next(iter([*paying, *finding["charged"]]), None)
    if first is None or (not paying and set(first["tasks"]) <= {"/"}):
        return ""  # what tasks in the root allocate is charged to none
    tasks = list(first["tasks"])
    elsewhere = f", while the tasks were in {tasks[0]}{_others(tasks, 'cgroup')}" if tasks else ""
    if not paying:
        return f"not charged to any memory cgroup{elsewhere}"
    number, objects = int(first["objects"]), int(finding["objects"])
    part = f" ({count(number)} of {count(objects)} objects)" if number < objects else ""
    named = f"memory cgroup {str(first['cgroup']).removeprefix('cgroup ')}"
    others = _others(paying, "memory cgroup")
    if tasks == [first["cgroup"]]:
        known = shown == tasks and not others
        return f"charged to {'it' if known else named}{part}{others}"
    return f"charged to {named}{part}{others}{elsewhere}"


def _others(texts: list[Any], noun: str) -> str:
    return f" and {plural(len(texts) - 1, f'other {noun}')}" if len(texts) > 1 else ""


def short(command: str) -> str:
    """A command line, or its beginning."""
    return command if len(command) <= COMMAND_SHOWN else f"{command[:COMMAND_SHOWN]}…"


def _names(row: dict[Any, Any], by: str) -> list[str]:
    name = str(row["name"]) or "(not known)"
    of = f" (parent {parent(row)})" if parent(row) else ""
    if by == "process":
        return [name, f"{_without_folder(next(iter([*row['commands'], *row['comms']]), '?'))}{of}"]
    return [f"{_without_folder(name)}{of}" if by == "command" else name]


def _without_folder(command: str) -> str:
    """A command line whose program has no folder: there is little room in a table."""
    program, space, arguments = command.partition(" ")
    return f"{program.rpartition('/')[2] or program}{space}{arguments}"
