# SPDX-License-Identifier: Apache-2.0
"""Man pages, generated from --help when a wheel is built (hatch_build.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from slabtrace import __version__
from slabtrace.commands import COMMANDS, cli

# What troff would make typographic, or read as its own: examples are there to be copied.
AS_TYPED = {
    "\\": "\\e", "-": "\\-", '"': "\\(dq", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti",
}  # fmt: skip
AS_IT_STANDS = "\b"  # click: the paragraph that begins so keeps its lines


def write_pages(folder: Path) -> list[Path]:
    """Write slabtrace.1 and a page for each command into `folder`, which is there; their paths."""
    context = click.Context(cli, info_name="slabtrace")
    pages = {"slabtrace": "".join(_page(cli, context))}
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            of_command = click.Context(command, info_name=name, parent=context)
            pages[f"slabtrace-{name}"] = "".join(_page(command, of_command))
    for name, page in pages.items():
        (folder / f"{name}.1").write_text(page, encoding="utf-8")
    return [folder / f"{name}.1" for name in pages]


def _page(command: click.Command, context: click.Context) -> Iterator[str]:
    """The lines of a page, in man(7)'s macros."""
    name = context.command_path.replace(" ", "-")
    about = click.unstyle(command.get_short_help_str(200))
    yield f'.TH "{_text(name.upper())}" "1" "" "slabtrace {__version__}" "slabtrace"\n'
    yield f".SH NAME\n{_text(name)} \\- {_text(about)}\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".SH SYNOPSIS\n.B {_text(context.command_path)}\n{_text(pieces)}\n.SH DESCRIPTION\n"
    yield from _paragraphs(command.help or "")
    yield ".SH OPTIONS\n"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield f".TP\n.B {_text(record[0])}\n{_text(record[1])}\n"
    if command is cli:
        yield ".SH COMMANDS\n"
        for each, entry in COMMANDS.items():
            yield f".TP\n.BR slabtrace\\-{_text(each)} (1)\n{_text(entry.help)}\n"
    yield from _paragraphs(command.epilog or "")


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a command's help."""
    for paragraph in text.replace("\r", "").split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip(" ") == AS_IT_STANDS:
            yield ".PP\n.nf\n" + "".join(f"{_text(line)}\n" for line in lines[1:]) + ".fi\n"
        elif any(lines):
            yield f".PP\n{_text(' '.join(line.strip() for line in lines))}\n"


def _text(line: str) -> str:
    """`line` so that no part of it is an instruction to troff, and a dash can be copied."""
    safe = "".join(AS_TYPED.get(each, each if each.isascii() else f"\\[u{ord(each):04X}]") for each in line)
    return f"\\&{safe}" if safe.startswith(".") else safe
