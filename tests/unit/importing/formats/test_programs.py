# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501  (a header of perf are as long as they are)
"""perf and trace-cmd: what is said without them, what their headers say, and how they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.errors import TraceError, UsageError
from slabtrace.importing.formats import perf, printed, trace_cmd
from slabtrace.importing.formats.programs import answer, running
from slabtrace.importing.formats.reading import read
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.making.coverage import missing_cpus
from slabtrace.importing.records import Facts, Lost, Texts

HEADER = """\
# hostname : box
# os release : 6.18.44
# arch : x86_64
# nrcpus avail : 2
# cmdline : /usr/bin/perf record -g -p 77 -e kmem:kmalloc --filter bytes_req > 64 -o x
# event : name = kmem:kmalloc, , id = { 53 }, { sample_period, sample_freq } = 1, sample_type = IP|TID|TIME|CALLCHAIN|CPU, use_clockid = 1, clockid = 1
# event : name = kmem:mm_page_free, , id = { 55 }, sample_type = IP|TID|TIME|CALLCHAIN|CPU
# event : name = kmem:kfree, , id = { 57 }, sample_type = IP|TID|TIME|CALLCHAIN|CPU
"""
STATS = """\
Aggregated stats:
           TOTAL events:       4226
    LOST_SAMPLES events:         21  ( 0.5%)
kmem:mm_page_free stats:
          SAMPLE events:        275
    LOST_SAMPLES events:       1101
kmem:kfree stats:
          SAMPLE events:        485
    LOST_SAMPLES events:       30
kmem:kmalloc stats:
    LOST_SAMPLES events:       12
"""


@pytest.mark.parametrize(
    ("content", "program", "package"),
    [(b"PERFILE2" + bytes(96), "perf", "linux-perf"), (b"\x17\x08Dtracing6\0", "trace-cmd", "trace-cmd")],
)
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, program: str, package: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=f"by {program}, which is not installed") as error:
        list(read([Source(path)], Texts(), Facts()))
    assert f"apt install {package}" in error.value.remedy


def test_the_header_of_perf() -> None:
    facts = Facts()
    assert perf._read_header(HEADER, facts)
    assert (facts.release, facts.hostname, facts.cpus_declared) == ("6.18.44", "box", 2)
    assert (facts.enabled, facts.clock) == (["kmalloc", "kfree"], "monotonic")
    assert facts.filters == ["--pid 77 (only this process)", "--filter bytes_req > 64"]
    assert not facts.sampled


def test_a_sample_of_the_events_is_noticed() -> None:
    facts = Facts()
    perf._read_header(HEADER.replace("sample_freq } = 1,", "sample_freq } = 100,"), facts)
    assert facts.sampled


@pytest.mark.parametrize("command", ["perf record -a -e x", "perf record -ag", "perf record --all-cpus -e x"])
def test_a_recording_of_all_cpus_is_not_filtered(command: str) -> None:
    facts = Facts()
    perf._read_command(command, False, facts)
    assert (facts.filters, facts.cpus_asked) == ([], None)


@pytest.mark.parametrize(
    ("command", "on_exec"), [("perf record -e kmem:kmalloc ./x", False), ("perf record -e x ls -la", True)]
)
def test_a_recording_of_one_command_is_filtered(command: str, on_exec: bool) -> None:
    facts = Facts()
    perf._read_command(command, on_exec, facts)
    assert len(facts.filters) == 1


@pytest.mark.parametrize("option", ["-C 0-1,3", "-C0-1,3", "--cpu=0-1,3", "--cpu 0-1,3"])
def test_cpus_that_were_left_out_are_missing(option: str) -> None:
    facts = Facts(cpus_declared=6, losses_told=True, cpus={0, 1})
    perf._read_command(f"perf record -a {option} -e kmem:kmalloc", False, facts)
    assert missing_cpus(facts) == [2, 4, 5]


def test_lost_samples_beyond_the_records_of_losses() -> None:
    facts = Facts(lost=[Lost(5, 9, 0, 20, "")])
    perf._add_lost_samples(STATS, facts)
    assert [each.events for each in facts.lost] == [20, 22]  # 30 + 12 of slab events, 20 known


BUFFERS = """\
Kernel buffer statistics:
  Note: "entries" are the entries left in the kernel ring buffer and are not
        recorded in the trace data. They should all be zero.

CPU: 0
entries: 4
overrun: 100
commit overrun: 0
dropped events: 3
read events: 31

CPU: 1
entries: 0
overrun: 0
commit overrun: 0
dropped events: 0
read events: 2
"""


def test_statistics_of_trace_cmd_beyond_its_dropped_lines() -> None:
    facts = Facts(lost=[Lost(5, 9, 0, 90, ""), Lost(5, 9, 1, 7, "")])
    trace_cmd.add_stats(BUFFERS, facts)
    assert [(each.cpu, each.events) for each in facts.lost[2:]] == [(0, 10), (0, 3), (0, 4)]


def test_a_program_that_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(TraceError, match="sh says: it is broken"),
        running(["sh", "-c", "echo it is broken >&2; exit 3"], tmp_path) as it,
    ):
        it.read()
    assert answer(["sh", "-c", "exit 1"]) == ""


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "SILENT_S", 0.1)
    endless = ["sh", "-c", "echo begun; while :; do :; done"]
    with pytest.raises(TraceError, match="sh computes without an end"), running(endless, tmp_path) as it:
        it.read()


def test_a_program_that_only_waits_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "SILENT_S", 0.1)
    with running(["sh", "-c", "sleep 3; echo done"], tmp_path) as it:
        assert it.read() == b"done\n"


def test_a_program_that_prints_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "MOST_OF_ALL", 1 << 20)
    (tmp_path / "file").write_bytes(bytes(10))
    with (
        pytest.raises(TraceError, match="yes prints without an end"),
        running(["yes"], tmp_path / "file") as it,
    ):
        it.read(1 << 30)


def test_programs_that_are_not_there() -> None:
    assert answer(["no-such-program-of-slabtrace"]) == ""
