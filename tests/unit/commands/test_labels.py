# SPDX-License-Identifier: Apache-2.0
"""`record --label` and `--config`, and how `info` shows labels and the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.cli.toml_files import all_labels
from slabtrace.commands import main
from slabtrace.render.terminal.info import taint_letters
from slabtrace.trace.manifest import OsRelease
from tests.unit.commands.conftest import Run, printed_json
from tests.unit.fake_rows import HOSTILE
from tests.unit.fake_trace import FakeTrace


def labelled() -> FakeTrace:
    trace = FakeTrace()
    trace.manifest.labels = {"role": "db", "note": f"two words {HOSTILE}"}
    host = trace.manifest.host
    host.os, host.boot_id, host.tainted = (
        OsRelease("debian", "12", f"Debian {HOSTILE}"),
        "9c5a-1",
        1 << 12 | 1,
    )
    host.command_line, host.build_id = f"quiet {HOSTILE}", "ab" * 20
    return trace


def test_info_shows_labels_and_the_machine(run: Run) -> None:
    out = run("info", "t.slab", trace=labelled())[1]
    assert "labels       role=db note='two words evil\\x1b]0;owned\\x07'\n" in out
    assert "system       Debian evil\\x1b]0;owned\\x07\n" in out
    for line in ("boot         9c5a-1\n", "booted with  quiet evil\\x1b]0;owned\\x07\n", "tainted      PO\n"):
        assert line in out
    assert "\x1b" not in out


def test_json_has_them_in_the_manifest_and_the_modules(run: Run) -> None:
    document = printed_json(run, "info", "t.slab", trace=labelled())
    assert document["manifest"]["labels"]["role"] == "db"
    assert document["manifest"]["host"]["os"]["version_id"] == "12"
    kernel, module = document["modules"]
    assert (kernel["name"], module["taint"], module["begin"]) == ("", "OE", "0x8000000000000000")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--label", "role"], "write role=db"),
        (["--label", "=x"], "write role=db"),
        (["--label", "a b=x"], "write role=db"),
        (["--label", "a=" + "x" * 257], "more than 256 characters"),
        (["--label", "a=1", "--label", "a=2"], "--label a is given twice"),
        ([word for n in range(65) for word in ("--label", f"a{n}=1")], "at most 64 labels"),
    ],
)
def test_odd_labels_are_refused(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["record", *args]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def config(folder: Path, text: str) -> str:
    """A configuration file with this text."""
    path = folder / "slabtrace.toml"
    path.write_text(text)
    return str(path)


def test_the_labels_of_a_config_file_and_those_given_which_go_before(tmp_path: Path) -> None:
    path = config(tmp_path, '[labels]\nrole = "db"\nrack = 7\nnote = ""\n')
    assert all_labels({"role": "web"}, path) == {"role": "web", "rack": "7", "note": ""}
    assert all_labels({"a": "b"}, None, Path(path)) == {"role": "db", "rack": "7", "note": "", "a": "b"}
    assert all_labels({"a": "b"}, None, tmp_path / "none.toml") == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[labels]\n'a b' = 1", "slabtrace.toml: 'a b=1' is not a label; write role=db"),
        ("[labels]\na = 2000-01-01", "the value of the label 'a' is neither a text nor a number"),
        ("[labels]\na = true", "neither a text nor a number"),
        ("labels = 3", 'labels is not a table; write [labels], and below it role = "db"'),
        ("[label]\na = 1", "no such table: label known tables: labels"),
        ("[labels\n", "is not TOML"),
        ("[labels]\n" + "".join(f"a{n} = 1\n" for n in range(65)), "at most 64 labels can be given, not 65"),
    ],
)
def test_odd_config_files_are_refused(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["record", "--config", config(tmp_path, text)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_config_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["record", "--config", "none.toml"]) == 2
    assert "none.toml cannot be read: No such file or directory" in capsys.readouterr().err


def test_letters_of_taint() -> None:
    assert taint_letters(0) == "" and taint_letters(1 << 13 | 1 << 12) == "OE"
    assert taint_letters(1 | 1 << 40) == "P 0x10000000000"
    assert taint_letters((1 << 20) - 1) == "PFSRMBUDAWCIOELKXTNJ"
