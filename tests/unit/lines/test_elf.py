# SPDX-License-Identifier: Apache-2.0
"""Reading ELF files: those of a compiler, and those that somebody damaged."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from slabtrace.lines.elf import Elf, read_elf
from tests.unit.lines import built


def test_a_kernel_and_a_module() -> None:
    kernel, module = built.kernel(), built.module()
    assert (kernel.relocatable, module.relocatable) == (False, True)
    assert (kernel.has_lines, module.has_lines) == (True, True)
    assert len(kernel.build_id) == len(module.build_id) == 40 and kernel.build_id != module.build_id
    assert [each.value for each in kernel.symbols("_stext")] == [built.KERNEL_AT]
    assert len(kernel.symbols("twin")) == 2 and kernel.symbols("no_such") == kernel.symbols("") == []
    assert [each.section for each in module.symbols("set_up")] == [".init.text"]
    assert kernel.has_code_at(built.KERNEL_AT) and not kernel.has_code_at(built.KERNEL_AT - 1)
    assert module.has_code_at(0, ".init.text") and not module.has_code_at(-1, ".init.text")
    assert not module.has_code_at(0, ".data")


def test_a_name_that_ends_another_one_is_found() -> None:
    """Linkers let `text` share the end of `_stext` in the string table."""
    assert built.kernel().symbols("stext") == []
    assert built.kernel().symbols("alloc_msg")


def test_debug_files_have_no_code_but_its_place(tmp_path: Path) -> None:
    debug = Elf(built.debug_only(built.tree() / "leaky.ko", tmp_path / "leaky.ko.debug"))
    assert debug.build_id == built.module().build_id and debug.has_lines
    assert debug.has_code_at(0, ".init.text") and debug.symbols("probe")
    assert not Elf(built.stripped(built.tree() / "leaky.ko", tmp_path / "leaky.ko")).has_lines


def test_what_is_no_elf_file(tmp_path: Path) -> None:
    for name, content in [
        ("empty", b""),
        ("short", b"\x7fELF\x02\x01"),
        ("text", b"x" * 100),
        ("32", b"\x7fELF\x01\x01" + b"\0" * 90),
    ]:
        (tmp_path / name).write_bytes(content)
        assert read_elf(tmp_path / name) is None
    os.mkfifo(tmp_path / "fifo")
    assert read_elf(tmp_path / "fifo") is None and read_elf(tmp_path) is None
    with pytest.raises(OSError, match="No such file"):
        Elf(tmp_path / "missing")


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """Never an exception but ValueError, and nothing takes long."""
    whole, chance = (built.tree() / "leaky.ko").read_bytes(), random.Random(11)
    headers = int.from_bytes(whole[40:48], "little")
    path = tmp_path / "damaged.ko"
    for _ in range(300):
        content = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(8):
            at = chance.choice([chance.randrange(64), headers + chance.randrange(len(whole) - headers)])
            if at < len(content):
                content[at] = chance.randrange(256)
        path.write_bytes(content)
        with suppress(ValueError):
            elf = Elf(path)
            elf.symbols("probe")
            elf.has_code_at(5, ".text")
        path.unlink()
