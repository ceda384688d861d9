# SPDX-License-Identifier: Apache-2.0
"""A thread that records runs before ordinary ones, where that is permitted."""

from __future__ import annotations

import os
import threading

import pytest

from slabtrace.capture.process.priority import raise_priority


def test_the_calling_thread_alone_gets_the_highest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *call: calls.append(call))
    thread = threading.Thread(target=raise_priority)
    thread.start()
    thread.join()
    assert calls == [(os.PRIO_PROCESS, thread.native_id, -20)]
    assert thread.native_id != threading.get_native_id()


def test_without_permission_the_recorder_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    raise_priority()
