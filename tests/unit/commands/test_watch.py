# SPDX-License-Identifier: Apache-2.0
"""`slabtrace watch` as far as it goes without tracing: its settings, and what a service has saved."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from slabtrace.commands import main
from slabtrace.watching.judgement import Judgement
from slabtrace.watching.service import Service
from slabtrace.watching.settings import Settings
from tests.unit.fleet import fleets
from tests.unit.watching.fake import FakeMachine, row

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: object) -> tuple[int, str, str]:
        code = main.run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text('[labels]\nrole = "db"\n\n[watch]\nwhen = ["growth > 10MiB/h for 10min"]\nkeep = 48\n')
    return path


def test_the_settings_are_checked(cli: Run, config: Path) -> None:
    assert cli("watch", "--config", config, "--check") == (0, "", "the settings are in order\n")
    code, _, err = cli("watch", "--config", config, "--check", "--keep", "none")
    assert code == 2 and "slabtrace: --keep: 'none' is no number" in err
    code, _, err = cli("watch", "--config", config, "--check", "--when", "x")
    assert code == 2 and "'x' is no trigger" in err and "growth > 10MiB/h" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[watch]\nkept = 1\n", "watch.kept is not known"),
        ("watch = 5\n", "watch is not a table"),
        ("[wach]\n", "no such table: wach"),
        ("[watch\n", "is not TOML"),
        ("labels = 3\n", "labels is not a table"),
    ],
)
def test_a_wrong_file_is_explained(cli: Run, config: Path, text: str, words: str) -> None:
    config.write_text(text)
    code, _, err = cli("watch", "--config", config, "--check")
    assert code == 2 and words in err and str(config) in err


def test_what_a_service_knows(cli: Run, tmp_path: Path) -> None:
    machine = FakeMachine()
    service = Service(lambda: Settings(folder=tmp_path), machine, machine.said.append)
    facts = fleets.facts_of(
        1, 2, random.Random(1), end_s=1_790_000_000, end_ns=3600 * 10**9, verdict="1 leak."
    )
    service.take(
        Judgement(facts, [row(title="kmalloc-64: f\x1b[31m < g"), row("1:b", **{"class": "growing"})])
    )
    code, out, _ = cli("watch", "--status", "--folder", tmp_path)
    words = " ".join(out.split())
    assert code == 0 and "\x1b" not in out
    assert "suspect 2026-09-21 14:13 1 h 00 min 10 640 B 30 B/min kmalloc-64: f\\x1b[31m < g" in words
    assert "growing 2026-09-21" in words and "does not run" in words and "1 leak." in words
    code, out, _ = cli("watch", "--status", "--folder", tmp_path, "--json")
    assert code == 0 and json.loads(out)["findings"][0]["title"] == "kmalloc-64: f\x1b[31m < g"


def test_where_no_service_was(cli: Run, tmp_path: Path) -> None:
    code, _, err = cli("watch", "--status", "--folder", tmp_path)
    assert code == 3 and "no slabtrace watch has saved anything" in err
    (tmp_path / "watch.json").write_text("[]")
    assert cli("watch", "--status", "--folder", tmp_path)[0] == 3
    assert (tmp_path / "watch.json").exists()
