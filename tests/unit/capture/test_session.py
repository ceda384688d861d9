# SPDX-License-Identifier: Apache-2.0
"""A kernel whose memory cannot be read for the inspection is recorded all the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slabtrace.capture import session
from slabtrace.errors import CaptureError


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            CaptureError("it cannot be found out where the kernel maps memory", "run it as root"),
            "it cannot be",
        ),
        (KeyError("task_struct.files"), "task_struct.files"),
        (IndexError(), "IndexError"),
    ],
)
def test_whatever_fails_is_a_note(monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(session, "Machine", fails)
    made = session.Session.__new__(session.Session)
    caches = SimpleNamespace(by_address=dict, aliases={})
    given = {"options": SimpleNamespace(inspect_s=2.0), "caches": caches, "vmemmap": 0}
    for name in ("programs", "walk", "kallsyms"):
        given[name] = SimpleNamespace()
    for name, value in given.items():
        setattr(made, name, value)
    machine, said = made._machine()
    assert machine is None and problem in said
