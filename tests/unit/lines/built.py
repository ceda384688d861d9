# SPDX-License-Identifier: Apache-2.0
"""A small kernel and a small module with debug info, compiled here: their lines are known."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from slabtrace.analysis.names.modules import Module
from slabtrace.lines.elf import Elf

KERNEL_AT = 0xFFFFFFFF81000000  # where it is linked to
SLID_TO = 0xFFFFFFFFA7C00000  # where KASLR is said to have put it
MODULE_AT = {".text": 0xFFFFFFFFC0A01000, ".init.text": 0xFFFFFFFFC0A11000}

# A name of a file that would end the lines of addr2line, a terminal's title and a page's text.
EVIL = r"evil\n0x0000000000000000\nx<script>alert(1)</script>\033]0;owned\a.c"
HOSTILE = f"""\
void *__kmalloc(unsigned long size);
void *evil_pointer;
#line 7 "{EVIL}"
__attribute__((noinline)) void hostile(void) {{ evil_pointer = __kmalloc(31); }}
"""
SOURCES = {
    "hostile.c": HOSTILE,
    "include/linux/slab.h": """\
void *__kmalloc(unsigned long size);
static inline __attribute__((always_inline)) void *kmalloc(unsigned long size)
{
	return __kmalloc(size);
}
""",
    "ipc/msgutil.c": """\
#include "include/linux/slab.h"
void *first;

__attribute__((noinline)) void *alloc_msg(unsigned long size)
{
	first = kmalloc(size);
	return first;
}

/* as long as the real one, so that load_msg+0x41 is in it */
void load_msg(void)
{
	__asm__ volatile(".fill 0x100, 1, 0x90");
}
static __attribute__((used, noinline)) void twin(void) { __asm__ volatile("nop"); }
""",
    "init/main.c": """\
void *alloc_msg(unsigned long size);
void *__kmalloc(unsigned long size) { return (void *)size; }
void start_kernel(void)
{
	alloc_msg(17);
}
static __attribute__((used, noinline)) void twin(void) { __asm__ volatile("nop"); }
""",
    "stext.s": ".globl _stext\\n.text\\n_stext: nop\\n".replace("\\n", "\n"),
    "leaky.c": """\
#include "include/linux/slab.h"
void *kept;

__attribute__((noinline)) void probe(void)
{
	kept = kmalloc(23);
}

__attribute__((noinline, section(".init.text"))) void set_up(void)
{
	kept = kmalloc(29);
}
""",
}


@cache
def _folder() -> TemporaryDirectory[str]:
    """Compiled once; removed when the tests end."""
    held = TemporaryDirectory(prefix="slabtrace-built-")
    tree = Path(held.name)
    for name, text in SOURCES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    compiler = ["gcc", "-g", "-O1", "-fno-pic", "-ffreestanding", "-fcf-protection=none", f"-I{tree}"]
    for name in ("ipc/msgutil.c", "init/main.c", "leaky.c", "hostile.c"):
        _run([*compiler, "-mcmodel=kernel", "-c", str(tree / name), "-o", f"{tree / name}.o"])
    objects = [str(tree / name) for name in ("stext.s", "ipc/msgutil.c.o", "init/main.c.o", "hostile.c.o")]
    linker = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=sha1", f"-Wl,-Ttext={KERNEL_AT:#x}"]
    _run(["gcc", *linker, "-Wl,-e,start_kernel", "-o", str(tree / "vmlinux"), *objects])
    _run(
        [
            "ld",
            "-r",
            "--build-id=sha1",
            "-o",
            str(tree / "leaky.ko"),
            str(tree / "leaky.c.o"),
            str(tree / "hostile.c.o"),
        ]
    )
    return held


def tree() -> Path:
    """The folder with vmlinux, leaky.ko and their sources."""
    return Path(_folder().name)


def kernel() -> Elf:
    return Elf(tree() / "vmlinux")


def module() -> Elf:
    return Elf(tree() / "leaky.ko")


def recorded(**changes: str) -> list[Module]:
    """The rows of modules.arrow of a machine that runs both."""
    ids = {"": kernel().build_id, "leaky": module().build_id} | changes
    return [
        Module("", ids[""], SLID_TO, 1 << 24),
        Module("leaky", ids["leaky"], MODULE_AT[".text"], 1 << 17, sections=MODULE_AT),
    ]


def after_call(elf: Elf, function: str) -> int:
    """The offset in `function` of the instruction after its first call."""
    (symbol,) = elf.symbols(function)
    argv = ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", "-j", symbol.section]
    lines = _run([*argv, str(elf.path)]).splitlines()
    call = next(i for i, line in enumerate(lines) if re.search(r"\t(call|bl)\b", line))
    return int(lines[call + 1].split(":")[0], 16) - symbol.value


def stripped(source: Path, target: Path) -> Path:
    """A copy without debug info."""
    _run(["objcopy", "--strip-debug", str(source), str(target)])
    return target


def debug_only(source: Path, target: Path) -> Path:
    """Only the debug info, as distributions package it."""
    _run(["objcopy", "--only-keep-debug", str(source), str(target)])
    return target


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
