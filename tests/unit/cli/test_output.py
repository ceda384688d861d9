# SPDX-License-Identifier: Apache-2.0
"""What is written where a user points: what is there and no file stays what it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from slabtrace.cli.output import replacing
from tests.places import FIXTURES

TRACE = FIXTURES / "slow-leak.slab"
WORDS = {
    "export": ["export", "--to", "csv"],
    "report": ["report"],
    "pack": ["pack"],  # which seeks in what it writes
    "pack --redact": ["pack", "--redact"],
}


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_fifo_gets_the_whole_and_stays_a_fifo(tmp_path: Path, words: list[str], force: list[str]) -> None:
    """So do /dev/stdout and /dev/null, which root once replaced by a file."""
    fifo, got = tmp_path / "fifo.zip", tmp_path / "got"
    os.mkfifo(fifo)
    argv = [sys.executable, "-m", "slabtrace", *words, str(TRACE), "-o", str(fifo), *force]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as writer:
        got.write_bytes(fifo.read_bytes())
        assert writer.wait(60) == 0, writer.stderr and writer.stderr.read()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    if words[0] == "pack":
        assert "manifest.json" in zipfile.ZipFile(got).namelist()
    else:
        assert len(got.read_bytes()) > 1000
    assert sorted(tmp_path.iterdir()) == [fifo, got]


def test_what_failed_is_not_begun(tmp_path: Path) -> None:
    """Neither in a file's place nor in a device's."""
    (tmp_path / "file").write_text("old")
    for place in (tmp_path / "file", Path("/dev/full")):
        with pytest.raises(KeyError), replacing(place) as file:
            file.write(b"half")
            raise KeyError
    assert (tmp_path / "file").read_text() == "old" and list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert Path("/dev/full").is_char_device()
