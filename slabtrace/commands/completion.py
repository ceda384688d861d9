# SPDX-License-Identifier: Apache-2.0
"""`slabtrace completion`: the shell's completion script, made by click."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Examples:
      slabtrace completion bash | sudo tee /etc/bash_completion.d/slabtrace
      slabtrace completion zsh  > "${fpath[1]}/_slabtrace"
      slabtrace completion fish > ~/.config/fish/completions/slabtrace.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # noqa: S101  (click has all three)
    source = script(ctx.find_root().command, {}, "slabtrace", "_SLABTRACE_COMPLETE").source()
    sys.stdout.write(source + "\n")
