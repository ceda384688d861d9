# SPDX-License-Identifier: Apache-2.0
"""Help and completion answer without loading anything heavy, and every command explains itself."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from slabtrace.commands import COMMANDS, ROOMS, cli

HEAVY = ("numpy", "pandas", "pyarrow", "matplotlib", "bcc", "rich", "jinja2", "textual")


def heavy_modules_after(code: str) -> str:
    """The heavy modules loaded in a fresh interpreter once it has run `code`, space-separated."""
    report = f"import sys; print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    run = [sys.executable, "-c", f"{code}\n{report}"]
    return subprocess.run(run, capture_output=True, text=True, check=True).stderr.strip()


def test_the_check_notices_a_heavy_import() -> None:
    assert "numpy" in heavy_modules_after("import numpy").split()


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = f"from slabtrace.commands.main import run\nassert run({args!r}) == 0"
    assert heavy_modules_after(code) == ""


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy_modules_after("import slabtrace; slabtrace.open; slabtrace.__version__") == ""


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = "from slabtrace.commands.main import run; run(['--help']); import sys\n"
    rooms = tuple(f"{room}." for room in ROOMS.values())
    code += f"assert not [m for m in sys.modules if m.startswith({rooms})]"
    assert heavy_modules_after(code) == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_shows_examples(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)
    shown = command.get_help(click.Context(command, info_name=name))
    assert f"slabtrace {name}" in shown.partition("Examples:")[2]


def test_completion_offers_commands_and_options() -> None:
    context = click.Context(cli)
    assert [item.value for item in cli.shell_complete(context, "le")] == ["leaks"]
    assert "--version" in [item.value for item in cli.shell_complete(context, "--")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    run = [sys.executable, "-m", "slabtrace", "completion", shell]
    script = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "_SLABTRACE_COMPLETE" in script and f"{shell}_complete" in script
