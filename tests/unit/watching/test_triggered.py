# SPDX-License-Identifier: Apache-2.0
"""Triggered recordings: one at a time, at most so many, bounded in size, followed by report and digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slabtrace.watching.settings import AtMost, Settings
from slabtrace.watching.triggered import END_S, Triggered
from tests.unit.watching.fake import START_S, FakeMachine

DAY_S = 86_400


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        folder=tmp_path,
        at_most=AtMost(2, DAY_S),
        disk=64 << 20,
        budget="2%",
        inspect=3.0,
        labels=(("role", "db"),),
    )


def made(machine: FakeMachine, settings: Settings, earlier: list[float] | None = None) -> Triggered:
    return Triggered(machine, settings, machine.said.append, earlier or [])


def finish(machine: FakeMachine, triggered: Triggered) -> None:
    while triggered.runs:
        machine.jobs[-1].code = 0
        triggered.step()


def test_a_recording_its_report_and_its_digest(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, settings)
    triggered.fire("growth > 1MiB/h (1 GiB now)")
    finish(machine, triggered)
    record, report, digest = (job.argv for job in machine.jobs)
    trace = str(settings.folder / "triggered" / "20260921-141320.slab")
    assert record[record.index("record") + 1 :] == [
        "-o", trace, "--duration=60s", "--stacks=all", "--quiet",
        "--label=trigger=growth > 1MiB/h (1 GiB now)", "--inspect=3s", "--config=/dev/null",
        "--label=role=db", "--budget=2%",
    ]  # fmt: skip
    assert "slabtrace.watching.launch" not in record  # it needs its privileges; those that read it do not
    assert report[3] == digest[3] == "slabtrace.watching.launch"
    assert report[-5:] == ["report", trace, "-o", trace.replace(".slab", ".html"), "--force"]
    assert digest[-6:] == ["digest", trace, "--quiet", "--force", "-o", str(settings.folder / "triggered")]
    assert triggered.counts == {"recorded": 1, "failed": 0, "too_many": 0}
    assert triggered.newest == trace


def test_one_at_a_time_and_at_most_so_many_a_day(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, settings)
    triggered.fire("a")
    triggered.fire("b")
    assert len(machine.jobs) == 1 and "one goes on" in machine.said[-1]
    finish(machine, triggered)
    machine.seconds = 3600
    triggered.fire("c")
    finish(machine, triggered)
    machine.seconds = DAY_S - 1
    triggered.fire("d")
    assert len(machine.started("record")) == 2 and "2 were made already" in machine.said[-1]
    machine.seconds = DAY_S
    triggered.fire("e")
    assert len(machine.started("record")) == 3
    assert triggered.counts == {"recorded": 2, "failed": 0, "too_many": 2}


def test_a_service_that_is_started_again_remembers_them(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, settings, [START_S - 10, START_S - 20, START_S + 99 * DAY_S])
    triggered.fire("a")
    assert machine.jobs == []
    machine.seconds = DAY_S - 15  # the clock was ahead once: what was in the future does not count
    triggered.fire("a")
    assert len(machine.jobs) == 1


def test_a_large_recording_is_ended(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, settings)
    triggered.fire("a")
    trace = settings.folder / "triggered" / "20260921-141320.slab"
    trace.mkdir()
    (trace / "x.arrow").write_bytes(bytes(settings.triggered_bytes))
    triggered.step()
    assert machine.jobs[0].asked == 0
    (trace / "y.arrow").write_bytes(bytes(1 << 16))
    triggered.step()
    triggered.step()
    assert machine.jobs[0].asked == 1 and machine.jobs[0].killed == 0


def test_one_that_does_not_end_is_ended_then_killed(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, settings)
    triggered.fire("a")
    machine.seconds = 60 + 3 + END_S + 1
    triggered.step()
    assert (machine.jobs[0].asked, machine.jobs[0].killed) == (1, 0)
    machine.seconds += END_S
    triggered.step()
    triggered.step()
    assert machine.jobs[0].killed == 1 and triggered.counts["failed"] == 1 and not triggered.runs


def test_a_hostile_name_is_a_harmless_label(machine: FakeMachine, settings: Settings) -> None:
    made(machine, settings).fire("finding: a\0b\x1b[31m" + "x" * 500)
    (label,) = (word for word in machine.jobs[0].argv if word.startswith("--label=trigger"))
    assert label.startswith("--label=trigger=finding: a?b?[31mxxx") and len(label) < 256


def test_what_fails_is_said_and_the_next_one_is_made(machine: FakeMachine, settings: Settings) -> None:
    triggered = made(machine, replace(settings, inspect=0.0))
    triggered.fire("a")
    assert not any(word.startswith("--inspect") for word in machine.jobs[0].argv)
    assert "--no-inspect" in machine.jobs[0].argv
    machine.jobs[0].code = 4
    triggered.step()
    assert machine.said[-1] == "the recording of 20260921-141320.slab ended with 4"
    triggered.fire("b")
    assert len(machine.jobs) == 2
