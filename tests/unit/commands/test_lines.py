# SPDX-License-Identifier: Apache-2.0
"""`--lines`: over a trace made by hand, and over a fixture with debug info that was compiled here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slabtrace.commands import main
from slabtrace.lines.finder import LineFinder
from slabtrace.lines.shown import Lines
from slabtrace.lines.symbolizers import Location
from tests.places import FIXTURES
from tests.unit.commands.conftest import Run, printed_json
from tests.unit.fake_rows import HOSTILE, HOSTILE_HTML, MISMATCH
from tests.unit.fake_trace import FakeTrace
from tests.unit.lines import built

FIXTURE = FIXTURES / "slow-leak.slab"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The fixture, as if its kernel had been the one that was compiled here; it hid where it was loaded."""
    copy = shutil.copytree(FIXTURE, tmp_path / "t.slab")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["host"] |= {"build_id": built.kernel().build_id, "stext": 0}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


@pytest.mark.parametrize("args", [["leaks"], ["leaks", "--by", "stack"], ["leaks", "--by", "call-site"]])
def test_leaks_shows_lines_and_how_many_frames_have_none(run: Run, args: list[str]) -> None:
    code, out, err = run(*args, "t.slab", "--lines")
    assert (code, err) == (0, "")
    assert "\x1b" not in out and "\x07" not in out
    if args[-1] != "call-site":
        assert (
            "    kmalloc (include/linux/slab.h:901, inlined)\n    alloc_pipe_info+0x57 (ipc/evil\\x1b" in out
        )
    if args[-1] == "stack":
        assert "    __x64_sys_msgsnd+0x1f [ipc]\n" in out
        assert ": 1 of ipc (no debug info was found)" in " ".join(out.split())


@pytest.mark.parametrize("command", ["leaks", "mismatches"])
def test_json_has_lines_by_symbol_only_if_asked(run: Run, command: str) -> None:
    code = 1 if command == "mismatches" else 0
    assert "lines" not in printed_json(run, command, "t.slab", trace=FakeTrace([MISMATCH]), code=code)
    document = printed_json(run, command, "t.slab", "--lines", trace=FakeTrace([MISMATCH]), code=code)
    frames = document["lines"]["frames"]
    assert frames and all(len(each) == 2 and each[0]["line"] == 901 for each in frames.values())
    if command == "leaks":
        stack = document["findings"][0]["stack"]
        assert stack == ["alloc_pipe_info+0x57", "create_pipe_files+0x3a", "do_pipe2+0x4c"]
        assert set(stack) <= frames.keys()
        assert document["lines"]["missing"][0]["symbols"] == ["__x64_sys_msgsnd+0x1f [ipc]"]


def test_mismatches_shows_lines_of_every_event(run: Run) -> None:
    plain = run("mismatches", "t.slab", trace=FakeTrace([MISMATCH]))[1]
    out = run("mismatches", "t.slab", "--lines", trace=FakeTrace([MISMATCH]))[1]
    assert "inlined" not in plain and out.count("kmalloc (include/linux/slab.h:901, inlined)") >= 2
    assert "\x1b" not in out


def test_a_whole_trace_with_debug_info_of_its_build(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["leaks", str(trace), "--lines", str(built.tree() / "vmlinux")]) == 0
    out, err = capsys.readouterr()
    assert "    load_msg+0x41 (ipc/msgutil.c:13)\n    do_msgsnd+0x8c\n" in out and err == ""
    assert "source lines: 3 of 4 frames have none: 3 of the kernel (its place" in " ".join(out.split())


def test_debug_info_of_another_build_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["leaks", str(FIXTURE), "--lines", str(built.tree() / "vmlinux")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "is of another build" in err and len(err.splitlines()) == 2


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_flame_has_functions_with_lines(
    trace: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"flame.{suffix}"
    assert main.run(["flame", str(trace), "-o", str(target), "--lines", str(built.tree())]) == 0
    page = target.read_text()
    assert "load_msg (ipc/msgutil.c:13)" in page and ">do_msgsnd<" in page
    assert "frames have none" in capsys.readouterr().err


def test_the_report_has_lines_and_says_which_are_missing(trace: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert main.run(["report", str(trace), "-o", str(target), "--lines", str(built.tree())]) == 0
    page = target.read_text()
    assert "load_msg+0x41 (ipc/msgutil.c:13)\n" in page and "frames have none: " in page
    assert "<svg" in page.partition("load_msg+0x41 (ipc")[0], "the sparkline of its arrivals is found"


@pytest.mark.parametrize(
    "args", [["leaks", "--lines", str(FIXTURE)], ["mismatches", "--lines", "x.slab.zip"]]
)
def test_a_trace_after_the_option_is_explained(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(args) == 2
    assert f"write {args[-1]} before --lines" in capsys.readouterr().err


def test_nothing_of_it_is_loaded_without_the_option() -> None:
    code = (
        f"import sys; from slabtrace.commands.main import run; run(['leaks', {str(FIXTURE)!r}])\n"
        "print(*[m for m in sys.modules if m.startswith('slabtrace.lines') or m == 'urllib.request'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("command", ["report", "flame"])
def test_hostile_lines_are_escaped_in_pages(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = f"ipc/{HOSTILE}{HOSTILE_HTML}.c"
    monkeypatch.setattr(
        LineFinder, "lines", lambda finder, symbols: Lines({s: [Location("f", evil, 53)] for s in symbols})
    )
    target = tmp_path / "page.html"
    assert main.run([command, str(FIXTURE), "-o", str(target), "--lines"]) == 0
    page = target.read_text()
    assert "(ipc/evil\\x1b]0;owned\\x07&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page and "<script>alert" not in page and "<img" not in page
