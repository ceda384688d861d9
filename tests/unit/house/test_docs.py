# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/ do what they say: the Python prints what is shown, the rules are rules."""

from __future__ import annotations

import re
import tomllib

import pytest

from slabtrace.analysis.leaks import checks, suppressions
from tests.places import ROOT

FINDINGS = (ROOT / "docs" / "findings.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", FINDINGS, re.M | re.S)


def test_the_python_example_prints_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (program,), (shown,) = blocks("python"), blocks("text")
    exec(compile(program, "docs/findings.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_rules_are_rules() -> None:
    (rules,) = (tomllib.loads(block) for block in blocks("toml"))
    assert checks.parse(rules["check"], "docs").max_growth == (1 << 20) / 60
    assert len(suppressions.parse(rules["suppress"], "docs").rules) == 1
