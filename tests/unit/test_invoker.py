# SPDX-License-Identifier: Apache-2.0
"""The user who called sudo: only values that sudo writes are accepted."""

from __future__ import annotations

import os

import pytest

from slabtrace.invoker import invoking_user


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getegid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_the_user_of_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "4294967294")
    monkeypatch.setenv("SUDO_GID", "23")
    user = invoking_user()
    assert (user.uid, user.gid, user.differs) == (4_294_967_294, 23, True)


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    "uid", ["", "-1", "²", "٣", "4294967295", "99999999999999999999", "9" * 5000, "1x", " 1", "1_0"]
)
def test_values_that_sudo_never_writes_are_ignored(monkeypatch: pytest.MonkeyPatch, uid: str) -> None:
    """4294967295 is -1 for setresuid: the process would stay root."""
    monkeypatch.setenv("SUDO_UID", uid)
    monkeypatch.setenv("SUDO_GID", "23")
    user = invoking_user()
    assert (user.uid, user.gid, user.differs) == (0, 0, False)


def test_without_root_there_is_no_sudo_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    monkeypatch.setenv("SUDO_UID", "1")
    monkeypatch.setenv("SUDO_GID", "1")
    assert not invoking_user().differs
