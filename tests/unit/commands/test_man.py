# SPDX-License-Identifier: Apache-2.0
"""Every command has a man page, which groff reads without a word and which has all its options."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from slabtrace.commands import COMMANDS, cli
from slabtrace.commands.man import _text, write_pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in write_pages(tmp_path_factory.mktemp("man"))}


def rendered(page: Path) -> str:
    """As a reader sees it, each run of blanks one."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed: apt-get install groff-base")
    run = ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=200n", str(page)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return " ".join(done.stdout.replace("−", "-").replace("‐", "-").split())


def test_every_command_has_its_page(pages: dict[str, Path]) -> None:
    assert set(pages) == {"slabtrace", *(f"slabtrace-{name}" for name in COMMANDS)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_and_its_help(name: str, pages: dict[str, Path]) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    shown = rendered(pages[f"slabtrace-{name}"])
    for option in (each for each in command.params if isinstance(each, click.Option)):
        assert all(re.search(rf"(^| ){re.escape(each)}\b", shown) for each in option.opts), option.opts
        words = (option.help or "").split()
        assert " ".join(words[:3]) in shown


def test_the_first_page_names_every_command(pages: dict[str, Path]) -> None:
    shown = rendered(pages["slabtrace"])
    assert all(f"slabtrace-{name}(1)" in shown for name in COMMANDS)
    assert "3 the trace is missing, damaged" in shown


@pytest.mark.parametrize("text", [".so /etc/passwd", "'br", "a\\fBb", "-o \"x\" 'kmalloc-*' `ls` … ~^"])
def test_no_text_instructs_troff(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.1").write_text(f'.TH X 1 "" "" ""\n.SH NAME\n{_text(text)}\n')
    assert text in rendered(tmp_path / "x.1")
