# SPDX-License-Identifier: Apache-2.0
"""What the manifest says of the machine: os-release, taint, boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.capture import host
from slabtrace.trace.manifest import OsRelease


def test_os_release(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(
        '# comment\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nEMPTY=\n'
    )
    found = host.os_release([tmp_path / "missing", tmp_path / "os-release"])
    assert found == OsRelease("debian", "12", "Debian GNU/Linux 12 (bookworm)")


@pytest.mark.parametrize("text", ["", "ID", 'ID="open\n', "ID=\xff\x00\n", "ID=" + "x" * 10_000])
def test_an_odd_os_release_is_read_as_far_as_it_goes(tmp_path: Path, text: str) -> None:
    (tmp_path / "os-release").write_bytes(text.encode("latin-1"))
    assert len(host.os_release([tmp_path / "os-release"]).id) <= 128


def test_files_are_cut_and_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_text("x=" + "y" * 100_000)
    assert len(host._text(tmp_path / "cmdline")) == 4096 and host._text(tmp_path / "missing") == ""
    for text, expected in [("4097\n", 4097), ("", None), ("odd", None)]:
        (tmp_path / "tainted").write_text(text)
        monkeypatch.setattr(host, "_TAINTED", tmp_path / "tainted")
        assert host._tainted() == expected
