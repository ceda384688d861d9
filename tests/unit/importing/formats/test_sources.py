# SPDX-License-Identifier: Apache-2.0
"""Formats are recognised by content; what is none of them is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.errors import TraceError, UsageError
from slabtrace.importing.formats.reading import read
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.records import Facts, Texts
from tests.unit.importing.imports import HEADER, alloc, line

PADDED = (
    "make-16 [004] 2.000863: kmalloc:              call_site=foo+0x9 ptr=0xffff88811390f6c0 bytes_req=5\n"
)


@pytest.mark.parametrize(
    ("content", "kind", "binary"),
    [
        (HEADER.format(1, 1, 1) + line(alloc(64)), "ftrace", False),
        (line(alloc(64)), "ftrace", False),
        ("cpus=4\n" + PADDED, "trace-cmd", False),
        (PADDED, "trace-cmd", False),
        ("sh 7 [000] 2.000863: kmem:kfree: call_site=1 ptr=0\n", "perf", False),
        ("[16:01:35.123456789] (+0.000000100) box kmem_kfree: { cpu_id = 1 }, { ptr = 0x1 }\n", "ctf", False),
        ('<html><script class="trace-data">\n' + HEADER.format(1, 1, 1), "ftrace", False),
        ("PERFILE2\0\0", "perf", True),
    ],
)
def test_a_format(tmp_path: Path, content: str, kind: str, binary: bool) -> None:
    path = tmp_path / "f"
    path.write_text(content)
    source = Source(path)
    assert (source.kind, source.binary) == (kind, binary)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x7fELF" + bytes(100), b"\0" * 1000])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(TraceError):
        Source(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        Source(tmp_path / "none")


def test_a_folder_of_perf(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"PERFILE2")
    found = Source(tmp_path)
    assert (found.kind, found.binary) == ("perf", True)


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="is not a file"):
        Source(tmp_path / "fifo")


def test_files_of_two_tools(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(line(alloc(64)))
    (tmp_path / "b").write_text(PADDED)
    with pytest.raises(UsageError, match="ftrace, trace-cmd"):
        list(read([Source(tmp_path / "a"), Source(tmp_path / "b")], Texts(), Facts()))


def test_statistics_of_the_buffers_say_what_was_lost(tmp_path: Path) -> None:
    (tmp_path / "cpu3").mkdir()
    stats = tmp_path / "cpu3" / "stats"
    stats.write_text(
        "entries: 5\noverrun: 0\ncommit overrun: 0\nbytes: 1\ndropped events: 7\nread events: 0\n"
    )
    (tmp_path / "trace").write_text(line(alloc(64)))
    facts = Facts()
    list(read([Source(tmp_path / "trace"), Source(stats)], Texts(), facts))
    assert [(each.cpu, each.events) for each in facts.lost] == [(3, 7)]
    assert facts.losses_told


def of_a_buffer(overrun: int, dropped: int = 0) -> str:
    return (
        f"entries: 5\noverrun: {overrun}\ncommit overrun: 0\nbytes: 1\n"
        f"dropped events: {dropped}\nread events: 0\n"
    )


def with_stats(place: Path, text: str, *stats: str) -> Facts:
    """The facts of a text and statistics of its first CPUs."""
    (place / "trace").write_text(text)
    sources, facts = [Source(place / "trace")], Facts()
    for cpu, content in enumerate(stats):
        (place / f"cpu{cpu}.stats").write_text(content)
        sources.append(Source(place / f"cpu{cpu}.stats"))
    list(read(sources, Texts(), facts))
    return facts


def test_statistics_of_one_cpu_of_two_say_nothing_of_the_other(tmp_path: Path) -> None:
    text = line(alloc(64), cpu=0) + line(alloc(128), 2, cpu=1)
    assert not with_stats(tmp_path, text, of_a_buffer(0)).losses_told
    assert with_stats(tmp_path, text, of_a_buffer(0), of_a_buffer(0)).losses_told


def test_what_header_and_statistics_count_is_counted_once(tmp_path: Path) -> None:
    text = HEADER.format(1, 16, 2) + line(alloc(64))
    facts = with_stats(tmp_path, text, of_a_buffer(9), of_a_buffer(6, dropped=3))
    assert [(each.cpu, each.events) for each in facts.lost] == [(0, 9), (1, 6), (1, 3)]
    assert facts.entries == (1, 1)


def test_what_markers_and_statistics_count_is_counted_once(tmp_path: Path) -> None:
    text = line(alloc(64)) + "CPU:0 [LOST 5 EVENTS]\n" + line(alloc(128), 2)
    facts = with_stats(tmp_path, text, of_a_buffer(8, dropped=2))
    assert sum(each.events for each in facts.lost) == 8 + 2


def test_headers_of_several_files_add_up(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(HEADER.format(1, 11, 2) + line(alloc(64)))
    facts = Facts()
    list(read([Source(tmp_path / "a"), Source(tmp_path / "b")], Texts(), facts))
    assert facts.entries == (2, 22)
