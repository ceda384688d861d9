# SPDX-License-Identifier: Apache-2.0
"""The recorder is kept going: what it is started with, how often, and when it begins anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slabtrace.watching.recorder import LONGEST_PAUSE_S, Recorder
from slabtrace.watching.settings import Settings, settings_of
from tests.unit.synthetic import alloc, write_trace
from tests.unit.watching.fake import FakeJob, FakeMachine


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def made(machine: FakeMachine, settings: Settings) -> Recorder:
    return Recorder(machine, settings, machine.said.append)


def test_what_it_is_started_with(machine: FakeMachine, tmp_path: Path) -> None:
    options = {"folder": str(tmp_path), "rotate": "2h", "keep": 6, "disk": "1GiB", "cache": ["a*", "b"]}
    recorder = made(machine, settings_of({**options, "budget": "1%", "threshold": "2s"}, ""))
    recorder.keep_going()
    recorder.keep_going()
    (job,) = machine.jobs
    assert job.argv[job.argv.index("record") + 1 :] == [
        "-o", str(tmp_path / "series-20260921-141320"), "--mode", "survivors", "--quiet",
        "--sample=1/16", "--rotate=7200s",
        f"--rotate={(1 << 29) // 8}B", "--keep=6", "--threshold=2s", "--config=/dev/null", "--cache=a*",
        "--cache=b", "--budget=1%",
    ]  # fmt: skip
    assert recorder.starts == 1 and not recorder.runs


def test_it_records_once_its_manifest_says_so(machine: FakeMachine, tmp_path: Path) -> None:
    recorder = made(machine, Settings(folder=tmp_path))
    recorder.keep_going()
    assert not recorder.runs
    part = write_trace(tmp_path / "series-20260921-141320.0001.slab", [alloc(1, 2)])
    recorder.keep_going()
    assert recorder.parts() == [part] and not recorder.runs  # no program is attached yet
    content = (part / "manifest.json").read_text().replace('"attached": []', '"attached": ["kmalloc"]')
    (part / "manifest.json").write_text(content)
    recorder.keep_going()
    assert recorder.runs


def test_one_that_cannot_start_is_tried_ever_more_rarely(machine: FakeMachine, tmp_path: Path) -> None:
    machine.run = lambda job: setattr(job, "code", 4)  # the kernel was locked down meanwhile, say
    recorder = made(machine, Settings(folder=tmp_path))
    for second in range(3600):
        machine.seconds = second
        recorder.keep_going()
    assert 10 <= len(machine.jobs) <= 3600 / LONGEST_PAUSE_S + 9
    assert machine.said[0] == "the recorder ended with exit code 4; it is started again"


def test_one_that_was_killed_after_hours_is_started_soon(machine: FakeMachine, tmp_path: Path) -> None:
    recorder = made(machine, Settings(folder=tmp_path))
    for hour in range(5):
        machine.seconds = hour * 3600
        recorder.keep_going()
        machine.jobs[-1].code = -9
        recorder.keep_going()
        machine.seconds += 3
        recorder.keep_going()
        assert machine.jobs[-1].code is None
    assert "signal 9" in machine.said[-1]


def test_a_system_that_cannot_start_a_process(machine: FakeMachine, tmp_path: Path) -> None:
    def fails(job: FakeJob) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    machine.run = fails
    recorder = made(machine, Settings(folder=tmp_path))
    recorder.keep_going()
    recorder.keep_going()
    assert len(machine.said) == 1 and recorder.ended


def test_new_settings_of_the_recording_begin_it_anew(machine: FakeMachine, tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path)
    recorder = made(machine, settings)
    recorder.keep_going()
    recorder.use(replace(settings, every=60.0))
    assert machine.jobs[0].asked == 0
    recorder.use(replace(settings, cache=("dentry",)))
    assert machine.jobs[0].asked == 1
    machine.seconds = 2  # a series has its second in its name
    machine.jobs[0].code = 0
    recorder.keep_going()
    machine.seconds = 5
    recorder.keep_going()
    assert "--cache=dentry" in machine.jobs[1].argv
    assert machine.jobs[0].argv[6] != machine.jobs[1].argv[6]
