# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501  (lines of babeltrace2 are as long as they are)
"""LTTng's events as babeltrace2 prints them; tasks by sched_switch; missing streams; warnings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from slabtrace.errors import TraceError, UsageError
from slabtrace.importing.formats import ctf, sources
from slabtrace.importing.formats.ctf import ctf_records, read_metadata
from slabtrace.importing.formats.ctf_lines import find_events
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.records import Facts, Frame, Records, Site, Task, Texts
from slabtrace.importing.text.scan import Block

TEXT = """\
[100.000000001] box kmem_kmalloc: {{ cpu_id = 1 }}, {{ call_site = 0xC040CC58, ptr = 0xCDEB5C00, bytes_req = 60, bytes_alloc = 64, gfp_flags = 208 }}
[100.000000002] box sched_switch: {{ cpu_id = 1 }}, {{ prev_comm = "swapper/1", prev_tid = 0, prev_prio = 20, prev_state = 0, next_comm = "sh", next_tid = 496, next_prio = 20 }}
[100.000000003] (+0.000000001) box kmem_cache_free: {{ cpu_id = 1 }}, {{ call_site = 0xC040CC58, ptr = 0xCDEB5C00 }}
[100.000000004] box sched_wakeup: {{ cpu_id = 1 }}, {{ comm = "x", tid = 21, prio = -100, target_cpu = 3 }}
[100.000000005] box kmem_kfree: {{ cpu_id = 2 }}, {{ pid = 7, tid = 8, procname = "a" }}, {{ call_site = 0xC040CC58, ptr = 0x0 }}
""".replace("{{", "{").replace("}}", "}")  # fmt: skip


def read(place: Path, text: str) -> tuple[Records, Texts, Facts]:
    path, texts, facts = place / "ctf.txt", Texts(), Facts()
    path.write_text(text)
    (records,) = ctf_records(Source(path), texts, facts)
    return records, texts, facts


def test_events_and_tasks(tmp_path: Path) -> None:
    records, texts, facts = read(tmp_path, TEXT)
    assert records.ts_ns.tolist() == [100_000_000_001, 100_000_000_003, 100_000_000_005]
    assert records.ptr.tolist() == [0xCDEB5C00, 0xCDEB5C00, 0]
    sites = [texts.sites[each] for each in records.site.tolist()]
    assert sites[0] == Site("kmalloc", 0xC040CC58, None, 60, 64, 208, False)
    assert [site.event for site in sites] == ["kmalloc", "kmem_cache_free", "kfree"]
    assert records.task.tolist()[0] == -1  # before the first switch
    assert [texts.tasks[each] for each in records.task.tolist()[1:]] == [Task(496, 0, "sh"), Task(8, 7, "a")]
    assert facts.tasks_derived
    assert (facts.cpus, facts.cpus_declared) == ({1, 2}, 4)


def test_stacks(tmp_path: Path) -> None:
    text = TEXT.splitlines()[0].replace(
        "{ call_site",
        "{ callstack_kernel_length = 2, callstack_kernel = [ [0] = 0xC1, [1] = 0xC2 ] }, { call_site",
        1,
    )
    records, texts, _ = read(tmp_path, text + "\n")
    assert texts.stacks[int(records.stack[0])] == (Frame(0xC1), Frame(0xC2))


def test_times_of_a_day(tmp_path: Path) -> None:
    records, *_ = read(tmp_path, TEXT.splitlines()[0].replace("[100.", "[01:00:02.") + "\n")
    assert records.ts_ns.tolist() == [3_602_000_000_001]


def test_streams_are_counted_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text(
        '/* CTF 1.8 */ env { hostname = "box"; kernel_release = "4.11.0-10"; }; event { name = "kmem_kfree"; };'
    )
    (tmp_path / "channel0_3").write_bytes(b"")
    facts = Facts()
    read_metadata(tmp_path, facts)
    assert (facts.release, facts.hostname, facts.cpus_declared, facts.enabled) == (
        "4.11.0-10",
        "box",
        4,
        ["kfree"],
    )


ALWAYS = 9_000_000_000 * 1_000_000_000


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (
            "11-29 12:00:00.000  WARNING: Tracer discarded 12 events between [100.5] and [101.000000007] in trace",
            (100_500_000_000, 101_000_000_007, 12),
        ),
        (
            "WARNING: Tracer may have discarded events between [102.0] and [103.0] in trace",
            (102_000_000_000, 103_000_000_000, 0),
        ),
        (  # a packet holds any number of events
            "WARNING: Tracer discarded 2 packets between [102.0] and [103.0] in trace",
            (102_000_000_000, 103_000_000_000, 0),
        ),
        ("WARNING: Tracer discarded 1 event between [?] and [?] in trace", (0, ALWAYS, 1)),
        ("WARNING: Tracer discarded 1 event between [1.2.3] and [x] in trace", (0, ALWAYS, 1)),
    ],
)
def test_discarded_events(message: str, lost: tuple[int, int, int]) -> None:
    facts = Facts()
    ctf.heed(message, facts)
    assert [(each.begin_ns, each.end_ns, each.events) for each in facts.lost] == [lost]


def test_all_warnings_count_however_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metadata").write_text("/* CTF 1.8 */")
    program = tmp_path / "bin" / "babeltrace2"
    program.parent.mkdir()
    warning = "WARNING: Tracer discarded 3 events between [100.0] and [101.0] in trace"
    program.write_text(f"#!/bin/sh\nyes '{warning}' | head -n 5000 >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    facts = Facts()
    list(ctf_records(Source(tmp_path), Texts(), facts))
    assert sum(each.events for each in facts.lost) == 15_000


NAMED = '[1.000000001] box kmem_cache_free: { cpu_id = 1 }, { tid = 5, cycles = 77 }, { call_site = 0xC0, ptr = 0xC1, name = "a cache" }\n'


def test_the_name_of_a_cache_is_not_that_of_a_task(tmp_path: Path) -> None:
    records, texts, _ = read(tmp_path, NAMED)
    assert texts.sites[int(records.site[0])].cache == "a cache"
    assert texts.tasks[int(records.task[0])] == Task(5, 0, "")


def test_contexts_that_differ_are_no_sites(tmp_path: Path) -> None:
    other = NAMED.replace("cycles = 77", "cycles = 78")
    path = tmp_path / "ctf.txt"
    path.write_text(NAMED + other)
    reader = ctf._Reader(Texts(), Facts())
    (records,) = reader.records(io.BytesIO(path.read_bytes()))
    assert (records.size, len(reader._site)) == (2, 1)


def test_a_folder_without_metadata(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no file called metadata"):
        Source(tmp_path)


def test_without_babeltrace2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metadata").write_text("/* CTF 1.8 */")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="babeltrace2, which is not installed") as error:
        list(ctf_records(Source(tmp_path), Texts(), Facts()))
    assert "apt install babeltrace2" in error.value.remedy


def test_a_long_line_is_refused(tmp_path: Path) -> None:
    texts, facts = Texts(), Facts()
    reader = ctf._Reader(texts, facts)
    assert sum(each.size for each in reader.records(io.BytesIO(b"x" * (9 << 20)))) == 0
    assert facts.rejected >= 1


def all_of(text: str, monkeypatch: pytest.MonkeyPatch, size: int, at_once: bool) -> tuple[object, ...]:
    """What is read of a text in blocks of `size` bytes."""
    texts, facts = Texts(), Facts()
    with monkeypatch.context() as changed:
        changed.setattr(sources, "BLOCK", size)
        if not at_once:
            changed.setattr(ctf, "find_events", lambda block: None)
        batches = list(ctf._Reader(texts, facts).records(io.BytesIO(text.encode())))
    rows = [row for batch in batches for row in zip(*map(np.ndarray.tolist, batch), strict=True)]
    named = [
        (ts_ns, ptr, texts.sites[site], texts.tasks[task] if task >= 0 else None, cpu,
         texts.stacks[stack] if stack >= 0 else ())
        for ts_ns, ptr, site, task, cpu, stack in rows
    ]  # fmt: skip
    return named, facts.lines, facts.rejected, facts.cpus, facts.cpus_declared, facts.real


SWITCH = """\
[{0}.000000009] box sched_switch: {{ cpu_id = {1} }}, {{ prev_comm = "a", prev_tid = 3, next_comm = "b", next_tid = {2} }}
"""


@pytest.mark.parametrize("size", [97, 1000, 1 << 20])
def test_lines_at_once_are_as_lines_one_by_one(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Tasks follow the switches of their CPU, also over the edges of blocks."""
    stack = (
        TEXT.splitlines()[0].replace("}, { call", "}, { callstack_kernel = [ [0] = 0xC1 ] }, { call") + "\n"
    )
    text = TEXT + "".join(
        SWITCH.format(200 + n, n % 3, 40 + n) + TEXT.replace("[100.", f"[{200 + n}.") + NAMED + stack
        for n in range(9)
    )
    block = find_events(Block(text.encode()))
    assert block is not None
    assert len(block.ptr) == 3 + 9 * (3 + 1 + 1)
    known = all_of(text, monkeypatch, 1 << 20, at_once=False)
    assert all_of(text, monkeypatch, size, at_once=True) == known


@pytest.mark.parametrize(
    "odd",
    [
        TEXT.splitlines()[0].replace("[100.", "[01:00:02."),
        TEXT.splitlines()[0].replace("ptr = 0xCDEB5C00, ", ""),
        TEXT.splitlines()[0].replace("ptr = 0xCDEB5C00", "ptr = 0xZ"),
        TEXT.splitlines()[0].replace("[100.000000001]", "[100.0001]"),
        TEXT.splitlines()[0].replace("call_site", "x" * 600 + " = 1, call_site"),
        "kmem_kfree: ptr = 0x1",
        " kmem_kfree: { ptr = 0x1",
    ],
)
def test_an_odd_line_is_read_as_before(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    text = f"{TEXT}{odd}\n{NAMED}"
    known = all_of(text, monkeypatch, 1 << 20, at_once=False)
    assert all_of(text, monkeypatch, 1 << 20, at_once=True) == known
