# SPDX-License-Identifier: Apache-2.0
"""`slabtrace digest` and `slabtrace fleet` as a user runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slabtrace.commands import main
from tests.places import FIXTURES
from tests.unit.fleet import fleets

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command; gives (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: object) -> tuple[int, str, str]:
        code = main.run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """60 hosts, 10 leak, all on one build of 15."""
    folder = tmp_path / "leaky"
    folder.mkdir()
    for name, content in fleets.digests(fleets.Plan(hosts=60, leaking=10, benign=2)):
        (folder / f"{name}.digest.parquet").write_bytes(content)
    return folder


def document(cli: Run, *args: object, code: int = 0) -> dict[str, Any]:
    ended, out, _ = cli(*args, "--json")
    assert ended == code
    made: dict[str, Any] = json.loads(out)
    return made


def test_a_digest_beside_each_trace_and_in_a_folder(cli: Run, tmp_path: Path) -> None:
    trace = tmp_path / "slow-leak.slab"
    shutil.copytree(FIXTURES / "slow-leak.slab", trace)
    assert cli("digest", trace) == (0, "", f"wrote {tmp_path}/slow-leak.digest.parquet\n")
    assert cli("digest", trace, "-o", tmp_path / "new" / "folder")[0] == 0
    frame = pd.read_parquet(tmp_path / "new/folder/slow-leak.digest.parquet")
    assert frame["row"].tolist()[:2] == ["trace", "finding"]
    code, _, err = cli("digest", trace)
    assert code == 2 and "exists" in err
    assert cli("digest", trace, "--force")[0] == 0


def test_a_trace_that_cannot_be_digested_is_named_and_the_others_are(cli: Run, tmp_path: Path) -> None:
    code, _, err = cli("digest", tmp_path / "none.slab", FIXTURES / "clean.slab", "-o", tmp_path)
    assert code == 3
    assert err == f"slabtrace: {tmp_path}/none.slab does not exist\nwrote {tmp_path}/clean.digest.parquet\n"


def test_a_trace_that_disappears_while_it_is_digested_is_named(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slabtrace.fleet.digests import fingerprint

    def gone(trace: Path) -> str:
        if trace.name == "gone.slab":
            raise FileNotFoundError(2, "No such file or directory", str(trace))
        return "f" * 32

    monkeypatch.setattr(fingerprint, "fingerprint", gone)
    code, _, err = cli("digest", "gone.slab", FIXTURES / "clean.slab", "-o", tmp_path)
    assert (code, err) == (3, f"slabtrace: gone.slab disappeared\nwrote {tmp_path}/clean.digest.parquet\n")


def test_redaction_needs_a_key(cli: Run, tmp_path: Path) -> None:
    trace = FIXTURES / "slow-leak.slab"
    assert cli("digest", trace, "-o", tmp_path, "--redact")[0] == 2
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    assert cli("digest", trace, "-o", tmp_path, "--key", key)[0] == 2
    assert cli("digest", trace, "-o", tmp_path, "--redact", "--key", key)[0] == 0
    frame = pd.read_parquet(tmp_path / "slow-leak.digest.parquet")
    assert "fixture" not in set(frame["host"])


def test_a_planted_leak_as_text(cli: Run, leaky: Path) -> None:
    code, out, err = cli("fleet", leaky)
    assert (code, err) == (1, "")
    words = " ".join(out.split())
    assert "60 hosts, 60 traces, 4 kernel builds" in words
    assert "keep_1000 < handle_1000 10 hosts affected, 50 clear, 0 could not tell" in words
    assert f"Kernel build {fleets.BUILDS[2]}" in words
    assert "10 of 10 affected hosts have it, 15 of all 60" in words


def test_a_planted_leak_as_json(cli: Run, leaky: Path) -> None:
    made = document(cli, "fleet", leaky, code=1)
    assert made["schema"] == "slabtrace.fleet/1"
    assert (made["hosts"], made["findings"][0]["affected"]) == (60, 10)
    (named,) = made["findings"][0]["associations"]
    assert named["p"] == pytest.approx(comb(15, 10) / comb(60, 10), rel=0.01)


def test_the_json_has_the_documented_columns(cli: Run, leaky: Path) -> None:
    from slabtrace.columns import FLEET, FLEET_DIFF

    (first, *_) = document(cli, "fleet", leaky, code=1)["findings"]
    assert set(first) == set(FLEET.names)
    sides = ("--old", "build=5*", "--new", "build=6.12*")
    rows = document(cli, "fleet", "diff", leaky, *sides, code=1)["issues"]
    assert set(rows[0]) == set(FLEET_DIFF.names)


def test_terms_choose_hosts(cli: Run, leaky: Path) -> None:
    assert document(cli, "fleet", leaky, "--where", "build=5.10*")["hosts"] == 15
    assert document(cli, "fleet", leaky, "--where", "host=host-0000?")["hosts"] == 10
    counts = []
    for role in ("db", "web", "cache", "batch"):
        _, out, _ = cli("fleet", leaky, "--where", f"label.role={role}", "--json")
        counts.append(json.loads(out)["hosts"])
    assert sum(counts) == 60 and min(counts) > 0
    assert document(cli, "fleet", leaky, "--where", "until=2020-01-01", code=0)["hosts"] == 0
    for term in ("colour=red", "host", "from=yesterday"):
        code, _, err = cli("fleet", leaky, "--where", term)
        assert code == 2 and "write" in err


def test_two_builds_are_compared(cli: Run, leaky: Path) -> None:
    code, out, _ = cli("fleet", "diff", leaky, "--old", "build=5.10*", "--new", "build=6.12*")
    assert code == 1
    assert any(
        line.startswith("new") and "10 of 15" in line and "0 of 15" in line for line in out.splitlines()
    )
    back = document(cli, "fleet", "diff", leaky, "--old", "build=6.12*", "--new", "build=5.10*")
    assert [row["state"] for row in back["issues"]] == ["gone"]
    assert back["issues"][0]["p"] == pytest.approx(2 * comb(15, 10) / comb(30, 10), rel=0.01)


def test_two_places_are_compared_and_the_same_is_the_same(cli: Run, leaky: Path) -> None:
    made = document(cli, "fleet", "diff", leaky, leaky)
    assert [row["state"] for row in made["issues"]] == ["same"]
    assert cli("fleet", "diff", leaky)[0] == 2
    assert cli("fleet", "diff", leaky, "--old", "build=5*")[0] == 2
    assert cli("fleet", leaky, "--old", "build=5*")[0] == 2


def test_what_is_not_read_is_named_first(cli: Run, leaky: Path) -> None:
    (leaky / "x\x1b[31m.digest.parquet").write_bytes(b"no")
    _, out, _ = cli("fleet", leaky)
    lines = out.splitlines()
    assert lines[1] == "1 not read (1.6% of all):"
    assert "\\x1b[31m.digest.parquet: is not a digest" in "".join(lines[2:4]).replace("  ", " ")
    assert "\x1b" not in out


def test_nothing_that_can_be_read_is_an_error(cli: Run, tmp_path: Path) -> None:
    code, out, _ = cli("fleet", tmp_path / "nowhere")
    assert code == 3 and "does not exist" in out
    (tmp_path / "empty").mkdir()
    assert cli("fleet", tmp_path / "empty")[0] == 3


def test_a_page_is_written(cli: Run, leaky: Path, tmp_path: Path) -> None:
    page = tmp_path / "fleet.html"
    assert cli("fleet", leaky, "--html", page)[0] == 1
    text = page.read_text()
    assert "keep_1000" in text and "Content-Security-Policy" in text
    assert cli("fleet", leaky, "--html", page)[0] == 2
    assert cli("fleet", leaky, "--html", page, "-f")[0] == 1
    assert cli("fleet", leaky, "--html", tmp_path / "fleet.pdf")[0] == 2


def test_without_dask_the_extra_is_named(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = cli("fleet", FIXTURES / "clean.slab", "--workers", "2", "--digests", tmp_path / "d")
    assert code == 2
    assert (
        err
        == "slabtrace: --workers and --scheduler need Dask\n  install it: pip install 'slabtrace[fleet]'\n"
    )


def test_the_page_is_not_written_over_a_folder_of_digests(cli: Run, leaky: Path, tmp_path: Path) -> None:
    code, _, err = cli("fleet", leaky, "--digests", leaky / "host-00000.digest.parquet")
    assert code == 2 and "cannot be made" in err
