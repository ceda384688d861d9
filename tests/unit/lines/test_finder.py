# SPDX-License-Identifier: Apache-2.0
"""Source lines of a kernel and a module that were compiled here, by real symbolizers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slabtrace.analysis.names.modules import Module, Modules
from slabtrace.errors import DebugInfoError
from slabtrace.lines import symbolizers
from slabtrace.lines.debug_files import DebugFiles
from slabtrace.lines.finder import LineFinder, _shortened
from slabtrace.lines.shown import Lines
from slabtrace.lines.symbolizers import Location
from slabtrace.render.terminal.text import escape
from tests.unit.lines import built

KERNEL_LINES = [Location("kmalloc", "include/linux/slab.h", 4), Location("alloc_msg", "ipc/msgutil.c", 6)]


@pytest.fixture
def root() -> Iterator[Path]:
    """A machine without any debug info in the usual folders."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-root-") as name:
        yield Path(name)


def symbol(function: str) -> tuple[str, int]:
    """A return address in a function, as a trace has it: its symbol and address in memory."""
    elf = built.kernel()
    offset = built.after_call(elf, function)
    return f"{function}+{offset:#x}", elf.symbols(function)[
        0
    ].value - built.KERNEL_AT + built.SLID_TO + offset


def in_module(function: str) -> tuple[str, int]:
    elf = built.module()
    offset, (found,) = built.after_call(elf, function), elf.symbols(function)
    return f"{function}+{offset:#x} [leaky]", built.MODULE_AT[found.section] + found.value + offset


def find(
    root: Path, addresses: dict[str, int], *places: Path | str, modules: list[Module] | None = None
) -> Lines:
    rows = Modules(built.recorded() if modules is None else modules)
    files = DebugFiles([str(each) for each in places], rows, "6.12.1", root=root)
    return LineFinder({text: {address} for text, address in addresses.items()}, rows, files).lines(addresses)


@pytest.mark.parametrize("tool", [symbolizers.LLVM, symbolizers.BINUTILS])
def test_a_kernel_is_translated_wherever_it_was_loaded(
    root: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.which(tool), "the Makefile installs both for the tests"
    monkeypatch.setattr(shutil, "which", lambda name: name if name == tool else None)
    text, address = symbol("alloc_msg")
    lines = find(root, {text: address}, built.tree() / "vmlinux")
    assert (dict(lines.found), dict(lines.missing), lines.sentence) == ({text: KERNEL_LINES}, {}, "")
    assert lines.frames([text]) == [
        "kmalloc (include/linux/slab.h:4, inlined)",
        f"{text} (ipc/msgutil.c:6)",
    ]


def test_a_module_is_translated_by_section(root: Path) -> None:
    """Both functions are at the begin of their section, so at the same offset in the file."""
    addresses = dict([in_module("probe"), in_module("set_up")])
    lines = find(root, addresses, built.tree() / "leaky.ko")
    found = {
        text: [(each.function, Path(each.file).name, each.line) for each in lines.found[text]]
        for text in addresses
    }
    probe, set_up = addresses
    assert found[probe] == [("kmalloc", "slab.h", 4), ("probe", "leaky.c", 6)]
    assert found[set_up] == [("kmalloc", "slab.h", 4), ("set_up", "leaky.c", 11)]
    assert lines.frames([probe])[1].startswith(f"{probe} (") and " [leaky] (" in lines.frames([probe])[0]


def test_a_module_without_known_sections_is_translated_by_its_symbols(root: Path) -> None:
    bare = [Module(each.name, each.build_id, each.begin, each.size) for each in built.recorded()]
    text, address = in_module("set_up")
    lines = find(root, {text: address}, built.tree() / "leaky.ko", modules=bare)
    assert lines.found[text][-1].line == 11


def test_files_of_the_kernels_tree_are_shortened_in_modules_too(root: Path) -> None:
    addresses = dict([symbol("alloc_msg"), in_module("probe")])
    lines = find(root, addresses, built.tree())
    assert [each.file for each in lines.found[list(addresses)[1]]] == ["include/linux/slab.h", "leaky.c"]


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("/tree/ipc/msgutil.c", "ipc/msgutil.c"),
        ("/usr/src/linux-headers-6.12.1-common/include/linux/slab.h", "include/linux/slab.h"),
        ("/build/path/linux-6.12.1/net/9p/client.c", "net/9p/client.c"),
        ("/home/ann/linux/leaky.c", "/home/ann/linux/leaky.c"),
        ("include/linux-x/y.h", "include/linux-x/y.h"),
    ],
)
def test_how_files_are_shortened(file: str, shown: str) -> None:
    assert _shortened(Location("f", file, 1), "/tree/").file == shown


@pytest.mark.parametrize("name", [".build-id/{0}/{1}.debug", "{0}/{1}.debug", "sub/leaky.ko.debug"])
def test_a_folder_is_searched_by_build_id_and_by_name(root: Path, tmp_path: Path, name: str) -> None:
    build_id = built.module().build_id
    target = tmp_path / name.format(build_id[:2], build_id[2:])
    target.parent.mkdir(parents=True)
    built.debug_only(built.tree() / "leaky.ko", target)
    text, address = in_module("set_up")
    assert find(root, {text: address}, tmp_path).found[text][-1].line == 11


@pytest.mark.parametrize(
    "name",
    ["usr/lib/debug/.build-id/{0}/{1}.debug", "usr/lib/debug/lib/modules/6.12.1/kernel/leaky.ko.debug"],
)
def test_the_usual_folders_need_no_place(root: Path, name: str) -> None:
    build_id = built.module().build_id
    target = root / name.format(build_id[:2], build_id[2:])
    target.parent.mkdir(parents=True)
    built.debug_only(built.tree() / "leaky.ko", target)
    text, address = in_module("probe")
    assert find(root, {text: address}).found[text][-1].line == 6


def test_frames_without_debug_info_stay_plain_and_are_counted(root: Path) -> None:
    addresses = dict([symbol("alloc_msg"), in_module("probe"), in_module("set_up")])
    lines = find(root, addresses, built.tree() / "vmlinux")
    plain = list(addresses)[1]
    assert lines.frames([plain]) == [plain]
    assert lines.sentence == ("source lines: 2 of 3 frames have none: 2 of leaky (no debug info was found)")


def test_another_build_in_a_folder_is_not_used(root: Path, tmp_path: Path) -> None:
    shutil.copy(built.tree() / "vmlinux", tmp_path / "vmlinux-6.12.1")
    text, address = symbol("alloc_msg")
    lines = find(root, {text: address}, tmp_path, modules=built.recorded(**{"": "ab" * 20}))
    assert not lines.found
    assert lines.missing[text] == ("the kernel", "the debug info that was found is of another build")


def test_a_file_of_another_build_is_refused(root: Path) -> None:
    with pytest.raises(DebugInfoError) as refused:
        find(root, {}, built.tree() / "vmlinux", modules=built.recorded(**{"": "ab" * 20}))
    assert built.kernel().build_id in refused.value.message and "ab" * 20 in refused.value.message


def test_a_module_of_another_build_is_refused_by_its_own_name(root: Path) -> None:
    with pytest.raises(DebugInfoError, match="recorded one of the module leaky is none"):
        find(root, {}, built.tree() / "leaky.ko", modules=built.recorded(leaky=""))
    with pytest.raises(DebugInfoError, match="has no build id of the module leaky"):
        find(root, {}, built.tree() / "leaky.ko", modules=built.recorded()[:1])


def test_what_cannot_be_used_is_refused(root: Path, tmp_path: Path) -> None:
    built.stripped(built.tree() / "vmlinux", tmp_path / "vmlinux")
    (tmp_path / "text").write_text("hello")
    for place, words in [
        (tmp_path / "vmlinux", "has no debug info"),
        (tmp_path / "text", "not a 64-bit ELF file"),
        (tmp_path / "missing", "No such file"),
        ("~nobody-of-this-name/debug", "cannot be read"),
        (built.tree() / "leaky.c.o", "has no build id"),
    ]:
        with pytest.raises(DebugInfoError, match=words):
            find(root, {}, place)


def test_functions_of_one_name_get_a_line_only_by_address(root: Path) -> None:
    """Two static functions `twin`: without the kernel's place in memory, nothing says which one it is."""
    first, second = sorted(each.value for each in built.kernel().symbols("twin"))
    slid = built.SLID_TO - built.KERNEL_AT
    known = find(root, {"twin+0x1": second + slid + 1}, built.tree() / "vmlinux")
    assert known.found["twin+0x1"][-1].file == "init/main.c"
    hidden = [Module("", built.kernel().build_id)]
    lost = find(root, {"twin+0x1": first + slid + 1}, built.tree() / "vmlinux", modules=hidden)
    assert lost.missing["twin+0x1"][1] == "its place in the debug info is not known"
    rows = Modules(built.recorded())
    files = DebugFiles([str(built.tree() / "vmlinux")], rows, "", root=root)
    both = LineFinder({"twin+0x1": {first + slid + 1, second + slid + 1}}, rows, files).lines(["twin+0x1"])
    assert both.missing["twin+0x1"][1] == "several functions have the same name"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a b+0x1 [../x]", "x+0x" + "f" * 40, "+0x1", "x [y+0x1"]
)
def test_hostile_symbols_and_names_reach_no_path(root: Path, name: str) -> None:
    text, address = symbol("alloc_msg")
    modules = [Module("", "../" * 20), Module("../x", "zz/../..", 0, 0, sections={"-x": address})]
    assert not find(root, {name: address, text: address}, modules=modules).found
    assert not find(root, {name: 5}, built.tree(), modules=built.recorded()).found


@pytest.mark.parametrize("tool", [symbolizers.LLVM, symbolizers.BINUTILS])
def test_hostile_file_names_harm_neither_other_frames_nor_the_terminal(
    root: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in (tool, symbolizers.BINUTILS) else None)
    kernel = dict([symbol("hostile"), symbol("alloc_msg")])
    module = dict([in_module("hostile"), in_module("probe"), in_module("set_up")])
    lines = find(root, kernel | module, built.tree())
    others = [lines.found[text][-1].function for text in (*kernel, *module) if "hostile" not in text]
    assert others == ["alloc_msg", "probe", "set_up"]
    for text in (next(iter(kernel)), next(iter(module))):
        shown = [escape(frame) for frame in lines.frame(text)]
        assert all(frame.isprintable() for frame in shown) and len(shown) < 5


def test_no_symbolizer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DebugInfoError, match="is installed") as error:
        find(root, {})
    assert "apt install binutils" in error.value.remedy


def test_a_symbolizer_that_hangs_or_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "addr2line"
    text, address = in_module("probe")
    monkeypatch.setenv("PATH", str(tmp_path))
    for script, words in [("exec /bin/sleep 60", "took longer than"), ("exit 3", "cannot read")]:
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setattr(symbolizers, "TIMEOUT_S", 0.3)
        with pytest.raises(DebugInfoError, match=words):
            find(root, {text: address}, built.tree() / "leaky.ko")


def test_a_symbolizer_is_not_to_ask_servers_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "addr2line"
    tool.write_text(f'#!/bin/sh\necho "$DEBUGINFOD_URLS" > {tmp_path}/asked\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DEBUGINFOD_URLS", "http://example.invalid")
    text, address = in_module("probe")
    find(root, {text: address}, built.tree() / "leaky.ko")
    assert (tmp_path / "asked").read_text() == "\n"
