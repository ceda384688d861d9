# SPDX-License-Identifier: Apache-2.0
"""`slabtrace import`, and what the reading commands say of its traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slabtrace.commands.main import run
from tests.unit.importing.imports import HEADER, alloc, free, line

BASE = 0xFFFF888000000000


def allocations_alone() -> str:
    """A leak that is real, but the recording has no frees."""
    return "".join(line(alloc(BASE + 64 * n), 1 + n) for n in range(20))


def whole() -> str:
    """All events of a short recording, as its header says; one object in ten is left."""
    parts, number = [], 0
    for n in range(100):
        parts.append(line(alloc(BASE + 64 * n), 1 + n / 10))
        if n % 10:
            parts.append(line(free(BASE + 64 * n), 1.05 + n / 10))
    number = len(parts)
    return HEADER.format(number, number, 1) + "".join(parts)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "no-frees.txt").write_text(allocations_alone())
    (tmp_path / "whole.txt").write_text(whole())
    for name in ("no-frees", "whole"):
        assert run(["import", str(tmp_path / f"{name}.txt"), "-o", str(tmp_path / f"{name}.slab")]) == 0
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    return " ".join(capsys.readouterr().out.split())


def test_an_import_says_what_it_read_and_what_it_cannot_say(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["import", str(place / "no-frees.txt"), "-o", str(place / "again.slab")]) == 0
    said = capsys.readouterr().err
    assert "20 allocations, 0 frees of ftrace" in said
    assert "not known" in said
    assert "Frees were not recorded" in said


def test_without_frees_there_is_no_list_of_leaks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(place / "no-frees.slab")
    for command in ("leaks", "info"):
        said = output(capsys, command, trace)
        assert "No list of leaks is given. Frees were not recorded (20 kmalloc, no free)" in said
        assert "would have been found" not in said
    assert "foo" not in output(capsys, "leaks", trace)
    assert output(capsys, "who", trace).startswith("nothing outstanding")


def test_json_says_why(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "leaks", str(place / "no-frees.slab"), "--json"))
    assert found["findings"] == [] and found["groups"] == []
    assert found["verdict"]["refused"] == found["completeness"]["no_leak_list"] != []
    assert found["completeness"]["losses"] == "unknown"


def test_a_check_fails_where_it_cannot_be_made(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = output(capsys, "check", str(place / "no-frees.slab"), code=1)
    assert "max_suspects: cannot be checked: Frees were not recorded" in said
    said = output(capsys, "check", str(place / "no-frees.slab"), "--max-lost", "5", code=1)
    assert "max_lost: cannot be checked" in said
    assert "passed" in output(capsys, "check", str(place / "whole.slab"), "--max-lost", "0")


def test_an_import_is_never_exact(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(place / "whole.slab")
    said = output(capsys, "info", trace)
    assert "As complete as tracepoints are: ftrace reports no lost event." in said
    assert "lost nothing, says ftrace" in said
    output(capsys, "check", trace, "--exact", code=1)
    assert "never exact" in output(capsys, "leaks", trace)
    groups = json.loads(output(capsys, "leaks", trace, "--json"))["groups"]
    assert {group["confidence"] for group in groups} == {"unprovable"}
    assert sum(group["outstanding"] for group in groups) == 10


@pytest.mark.parametrize("name", ["no-frees", "whole"])
def test_every_command_reads_an_import(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(place / f"{name}.slab")
    for command in ("stat", "caches", "lifetimes", "mismatches", "leaks --by process", "leaks --by stack"):
        output(capsys, *command.split()[:1], trace, *command.split()[1:])
    output(capsys, "report", trace, "-o", str(place / "r.html"))
    page = (place / "r.html").read_text()
    assert ("No list of leaks is given" in page) is (name == "no-frees")
    output(capsys, "pack", trace, "--redact", "-o", str(place / "r.zip"))
    assert f"{name}.txt" not in output(capsys, "info", str(place / "r.zip"))
    assert run(["diff", trace, str(place / "whole.slab")]) in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-file"], 2, "there is no file"),
        (["whole.slab"], 3, "no CTF trace"),
        (["garbage"], 3, "no recording that slabtrace knows"),
        (["whole.txt", "--from", "perf", "-o", "whole.slab"], 2, "exists already"),
    ],
)
def test_errors(
    place: Path, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "garbage").write_bytes(os_random())
    given = [
        str(place / each) if (place / each).exists() or each == "no-such-file" else each for each in arguments
    ]
    capsys.readouterr()
    assert run(["import", *given, *([] if "-o" in given else ["-o", str(place / "new.slab")])]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def os_random() -> bytes:
    return bytes(range(256)) * 20
