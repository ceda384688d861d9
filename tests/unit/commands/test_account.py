# SPDX-License-Identifier: Apache-2.0
"""`slabtrace account`: of a trace, of copies; its JSON; what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.columns import ACCOUNT, COUNTERS
from slabtrace.commands import COMMANDS, _stays_root
from tests.unit.commands.conftest import Run, printed_json

MIB = 1 << 20


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Three copies, a minute apart: Percpu grows by 100 MiB each, and nothing else."""
    for i in range(3):
        text = f"MemTotal: 1024000 kB\nMemFree: {512000 - 102400 * i} kB\nPercpu: {102400 * i} kB\n"
        (tmp_path / f"meminfo-20261129-12000{i}").write_text(text)
    return tmp_path


def test_a_trace(run: Run) -> None:
    code, out, err = run("account", "t.slab")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Memory in use grew by 20.0 MiB in 1 s: slab +20.0 MiB."
    (row,) = (line for line in lines if line.startswith("  kmalloc-1k"))
    assert row.endswith("+20.0 MiB                 +20.0 MiB")
    assert "Not complete" in out


def test_copies(run: Run, copies: Path) -> None:
    code, out, err = run("account", copies)
    assert (code, err) == (0, "")
    assert out.startswith(
        "Memory in use grew by 200.0 MiB in 2 s: percpu +200.0 MiB; how much of it is\nslab is not known."
    )


def test_json_has_every_column_and_counter(run: Run, copies: Path) -> None:
    document = printed_json(run, "account", str(copies))
    assert (document["schema"], document["source"]) == ("slabtrace.account/1", "copies")
    assert document["completeness"] is None
    rows = {row["part"]: row for row in document["account"] if not row["item"]}
    assert set(rows["percpu"]) == set(ACCOUNT.names)
    assert (rows["percpu"]["before"], rows["percpu"]["after"]) == (0, 200 * MIB)
    assert rows["slab"]["change"] is None
    counters = {row["counter"]: row for row in document["counters"]}
    assert set(counters["meminfo.MemFree"]) == set(COUNTERS.names)
    assert counters["meminfo.MemFree"]["after"] == (512000 - 204800) * 1024


def test_a_picture(run: Run, copies: Path, tmp_path: Path) -> None:
    code, _, err = run("account", copies, "-o", tmp_path / "memory.png")
    assert (code, err) == (0, f"wrote {tmp_path / 'memory.png'}\n")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "one of TRACE, COPIES and --live is needed"),
        (["t.slab", "--live", "1s"], "one of TRACE, COPIES and --live is needed"),
        (["--live", "1s", "--from", "x"], "--from and --to choose a part of a trace"),
        (["t.slab", "-o", "memory.pdf"], "does not say which format"),
    ],
)
def test_what_is_refused(run: Run, args: list[str], words: str) -> None:
    code, out, err = run("account", *args)
    assert (code, out) == (2, "")
    assert words in err


def test_a_folder_without_copies_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("account", tmp_path)
    assert code == 2
    assert "0 of the two copies of /proc/meminfo that are needed" in err


def test_only_live_keeps_the_privileges_of_root() -> None:
    entry = COMMANDS["account"]
    assert _stays_root(entry, ["--live", "60s"]) and _stays_root(entry, ["--live=60s"])
    assert not _stays_root(entry, ["t.slab"])
    assert not _stays_root(COMMANDS["leaks"], ["t.slab", "--live"])
    assert _stays_root(COMMANDS["record"], [])
