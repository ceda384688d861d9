# SPDX-License-Identifier: Apache-2.0
"""Running commands over a trace made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.commands import main
from tests.unit.fake_trace import FakeTrace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command over `trace` (default: the fake one); gives (exit code, stdout, stderr)."""

    def run_command(*args: str | Path, trace: FakeTrace | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(slabtrace, "open", lambda path: trace or FakeTrace())
        monkeypatch.setenv("COLUMNS", "80")
        code = main.run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return run_command


def printed_json(run: Run, *args: str, code: int = 0, **kwargs: Any) -> dict[str, Any]:
    ended, out, err = run(*args, "--json", **kwargs)
    assert (ended, err) == (code, "")
    document: dict[str, Any] = json.loads(out)
    return document
