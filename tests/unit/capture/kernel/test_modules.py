# SPDX-License-Identifier: Apache-2.0
"""What is recorded of the kernel and its modules, read from a made-up /sys."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from slabtrace.capture.kernel import kallsyms, modules
from slabtrace.capture.kernel.module_watch import ModuleWatch
from slabtrace.capture.kernel.modules import Loaded, ModuleRow, columns, describe
from slabtrace.trace.format.schema import MODULES

NOTE = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xab\xcd\x01\x02"


def sys_module(folder: Path, name: str = "leaky", **files: str) -> Path:
    made = folder / name
    (made / "sections").mkdir(parents=True)
    (made / "notes").mkdir()
    (made / "notes" / ".note.gnu.build-id").write_bytes(NOTE)
    for file, text in files.items():
        (made / file).write_text(text)
    for section, address in [
        (".text", "0xffffffffc0a01000"),
        (".init.text", "0xffffffffc0a11000"),
        (".data", "0x1"),
    ]:
        (made / "sections" / section).write_text(f"{address}\n")
    return made


def test_a_module(tmp_path: Path) -> None:
    sys_module(tmp_path, version="1.2\n", srcversion="ABC\n", taint="OE\n")
    row = describe(Loaded("leaky", 0xFFFFFFFFC0A01000, 8192), 5, tmp_path)
    assert row == ModuleRow(
        "leaky", "1.2", "ABC", "abcd0102", "OE", 0xFFFFFFFFC0A01000, 8192,
        [".init.text", ".text"], [0xFFFFFFFFC0A11000, 0xFFFFFFFFC0A01000], 5,
    )  # fmt: skip
    assert list(columns([row])) == MODULES.names


def test_what_is_hidden_or_gone_is_empty(tmp_path: Path) -> None:
    assert describe(Loaded("gone", 0, 0), 5, tmp_path) == ModuleRow("gone", "", "", "", "", 0, 0, [], [], 5)
    made = sys_module(tmp_path)
    for section in (".text", ".init.text"):
        (made / "sections" / section).write_text("0x0000000000000000\n")
    (made / "sections" / ".text.odd").write_text("what?\n")
    assert describe(Loaded("leaky", 0, 0), 5, tmp_path).sections == []


def test_what_a_module_says_is_bounded(tmp_path: Path) -> None:
    made = sys_module(tmp_path, version="v" * 100_000)
    for number in range(500):
        (made / "sections" / f".text.{number}").write_text("0x10\n")
    row = describe(Loaded("leaky", 0, 0), 5, tmp_path)
    assert len(row.version) == modules.MOST_BYTES and len(row.sections) == modules.MOST_SECTIONS


def test_the_kernel_itself_has_no_sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(NOTE)
    assert modules.build_id(tmp_path / "notes") == "abcd0102"
    row = describe(Loaded("", 0xFFFFFFFF81000000, 100), 7)
    assert (row.name, row.begin, row.sections, row.build_id) == (
        "",
        0xFFFFFFFF81000000,
        [],
        modules.build_id(),
    )


def test_modules_get_rows_when_they_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel at once, a module when it comes, and again when it is loaded at another place."""
    kernel = "ffffffff81000000 T _stext\nffffffff81000100 t load_msg\n"
    (tmp_path / "kallsyms").write_text(kernel)
    monkeypatch.setattr(kallsyms, "KALLSYMS", tmp_path / "kallsyms")
    monkeypatch.setattr(kallsyms, "MODULES", tmp_path / "modules")
    rows: list[ModuleRow] = []
    watch = ModuleWatch(kallsyms.Kallsyms(), 0.01, rows.extend)

    def wait(number: int) -> list[tuple[str, int, int]]:
        deadline = time.monotonic() + 30
        while len(rows) < number:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return [(row.name, row.begin, row.size) for row in rows]

    core = ("", 0xFFFFFFFF81000000, 0x101)
    assert wait(1) == [core]
    (tmp_path / "modules").write_text("leaky 4096 0 - Live 0xffffffffa0000000\n")
    assert wait(2) == [core, ("leaky", 0xFFFFFFFFA0000000, 4096)]
    (tmp_path / "modules").write_text("leaky 4096 0 - Live 0xffffffffa0100000\n")
    assert wait(3)[2] == ("leaky", 0xFFFFFFFFA0100000, 4096)
    watch.close()
    assert len(rows) == 3
