# SPDX-License-Identifier: Apache-2.0
"""Damaged recordings of other tools, imported; and what the reading commands say of those that can be read.

The texts are of the forms that tests/unit/importing knows; SLABTRACE_FUZZ_MORE names a folder with further
recordings (perf.data, trace.dat, text, folders of LTTng) that are damaged too: in half of the cases.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from random import Random

from slabtrace.commands.main import run
from slabtrace.importing.formats import printed, programs
from tests.unit.importing.formats.test_ctf import TEXT as CTF
from tests.unit.importing.imports import HEADER, alloc, free, line
from tests.unit.importing.text.test_stacks import OLD_PERF, PERF
from tests.unit.importing.text.test_text import FORMS

SECONDS, LARGEST = 30, 1 << 20  # of CPU time; bytes
READ = 0.25  # share of the traces that are read
PROMISED = {0, 2, 3}
AFTERWARDS = ("info", "leaks", "leaks --by process", "stat", "caches", "mismatches", "check --max-lost 0")
PIECES = (
    b"\0", b"\n", b"\r\n", b"\xff\xfe", b" ptr=", b"ptr=0x", b"=", b": ", b".000000: ", b"[000]", b"]", b"[",
    b"[99999]", b"99999999999.000000: ", b"-9223372036854775808", b"0x" + b"f" * 16, b"f" * 17, b"9" * 40,
    b"CPU:1 [LOST EVENTS]\n", b"CPU:9999 [LOST 99999999999999999999 EVENTS]\n",
    b"##### CPU 3 buffer started ####\n",
    b"# entries-in-buffer/entries-written: 999999999999999999/1 #P:99999\n", b"cpus=99999\n",
    b"<stack trace>\n",
    b" => f\n", b"\t" + b"f" * 16 + b" f+0x1 ([x])\n", b"PERF_RECORD_LOST lost 5", b"gfp_flags=0x",
    b"bytes_alloc=99999999999999999999 ", b"bytes_req=-5 ", b"node=-99999999 ", b"call_site=",
    b"kmalloc: ", b"x" * 5000,
    b"{ cpu_id = 99999 }, ", b"[9999999999.999999999] ", b'next_comm = "', b"name=\xf0\x9f\x98 ",
)  # fmt: skip


@cache
def texts() -> list[bytes]:
    """Whole recordings as text, of every form."""
    base = 0xFFFF888000000000
    plain = HEADER.format(90, 95, 4) + "".join(
        line(alloc(base + 64 * n, 64, f"f{n % 7}+0x10/0x20 [mod]"), 1 + n, n % 4)
        + line(free(base + 64 * n, event="kmem_cache_free", name="dentry"), 1.5 + n, (n + 1) % 4)
        + (f"CPU:{n % 4} [LOST {n} EVENTS]\n" if n % 9 == 0 else "")
        for n in range(45)
    )
    stacks = "".join(
        f"{line(alloc(base + 64 * n, event='kmem_cache_alloc'), n)}{line('<stack trace>', n)} => g\n => h\n"
        for n in range(20)
    )
    forms = "".join(f"{text}\n" for text, *_ in FORMS)
    perf = "".join(f"{text}\n" for text, *_ in FORMS if "kmem:" in text).encode() * 9
    every = [plain, stacks, forms * 3, CTF * 20]
    return [*(text.encode() for text in every), perf + PERF + b"\n" + perf + OLD_PERF]


@cache
def more() -> list[Path]:
    """Further recordings: files and folders."""
    return sorted(Path(os.environ.get("SLABTRACE_FUZZ_MORE", "/nonexistent")).glob("*"))


def make(random: Random, path: Path) -> None:
    """Write a damaged recording: a file, or a folder with one or two damaged files."""
    if not more() or random.random() < 0.5:
        path.write_bytes(damaged(random, random.choice(texts())))
        return
    whole = random.choice(more())
    if whole.is_file():
        path.write_bytes(damaged(random, whole.read_bytes()[:LARGEST]))
        return
    shutil.copytree(whole, path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    for file in random.sample(files, min(len(files), random.choice((1, 1, 2)))):
        file.write_bytes(damaged(random, file.read_bytes()))


def damaged(random: Random, whole: bytes) -> bytes:
    """Bytes with a few changes."""
    content = bytearray(whole)
    for _ in range(random.choice((1, 1, 2, 3, 8, 30))):
        at = random.randrange(len(content) + 1)
        kind = random.randrange(7)
        if kind == 0:
            content[at:at] = random.choice(PIECES)
        elif kind == 1:
            del content[at : at + random.choice((1, 1, 3, 20, 300))]
        elif kind == 2 and at < len(content):
            content[at] = random.randrange(256)
        elif kind == 3:
            content[at : at + 8] = random.choice(PIECES)
        elif kind == 4:
            del content[at:]
        elif kind == 5:
            content[at:at] = content[: random.choice((100, 1000))]
        elif kind == 6:
            begin = random.randrange(len(content) + 1)
            content[at:at] = content[begin : begin + random.choice((50, 500, 4000))]
        content = content or bytearray(b"\n")
    return bytes(content)


def case(seed: int, number: int, place: Path, commands: object = None) -> tuple[str, str]:
    """Import case `number`, and read it with one command: (exit code, what is wrong or "")."""
    random = Random(f"import {seed} {number}")
    path, trace = place / "f", place / "t.slab"
    printed.SILENT_S, programs._SECONDS = SECONDS / 6, SECONDS  # of a small file
    make(random, path)
    kind = random.choice(("ftrace", "trace-cmd", "perf", "ctf"))
    options = random.choice(([], [], ["--from", kind], ["--kernel", "5.4"]))
    code, wrong = _run(["import", str(path), "-o", str(trace), *options])
    if code == 0 and random.random() < READ:
        command, *more = random.choice(AFTERWARDS).split()
        after, also = _run([command, str(trace), *more])
        if after not in (0, 1):
            wrong.append(f"{command}: exit {after}")
        wrong += also
    elif code and trace.exists():
        wrong.append("a trace was left behind")
    return f"import: {code}", "; ".join(wrong)


def _run(arguments: list[str]) -> tuple[int, list[str]]:
    out, err, begun = io.StringIO(), io.StringIO(), time.process_time()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    said, wrong = err.getvalue(), []
    if code not in PROMISED | {1}:
        wrong.append(f"{arguments[0]}: exit {code}: {said.strip()[-300:]}")
    if code in (2, 3) and not said.startswith("slabtrace"):
        wrong.append(f"{arguments[0]}: no message: {said!r}")
    if (took := time.process_time() - begun) > SECONDS:
        wrong.append(f"{arguments[0]} took {took:.0f} s")
    return code, wrong
