# SPDX-License-Identifier: Apache-2.0
"""The service as a whole, on a machine whose clock and processes the test moves."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slabtrace.errors import CaptureError, UsageError
from slabtrace.watching import running
from slabtrace.watching.judgement import Judgement, digest_of
from slabtrace.watching.service import Service
from slabtrace.watching.settings import Settings, settings_of
from tests.unit.fleet import fleets
from tests.unit.watching.fake import FakeMachine, row

MIB = 1 << 20


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def made(machine: FakeMachine, folder: Path, **options: Any) -> Service:
    settings = settings_of({"folder": str(folder), **options}, "f.toml")
    return Service(lambda: settings, machine, machine.said.append)


def judgement(*rows: dict[str, Any], **facts: Any) -> Judgement:
    times = {"end_s": 2_000_000_000, "end_ns": 500 * 10**9}
    return Judgement(fleets.facts_of(1, 2, random.Random(1), **times, **facts), list(rows))


def grow(machine: FakeMachine, service: Service, seconds: int, step: Callable[[], None]) -> None:
    for _ in range(seconds // 10):
        machine.seconds += 10
        step()
        service.step()


def test_growing_memory_makes_one_recording(machine: FakeMachine, tmp_path: Path) -> None:
    service = made(machine, tmp_path, when="growth > 10MiB/h for 10min")

    def leaks() -> None:
        assert machine.memory is not None
        machine.memory += 20 * MIB / 360

    grow(machine, service, 2 * 3600, leaks)
    (record,) = machine.started("--stacks=all")
    (label,) = (word for word in record.argv if word.startswith("--label"))
    assert label.startswith("--label=trigger=growth > 10MiB/h for 10min (95")  # MiB: 1e9 bytes, and 3 MiB


def test_caches_that_match_are_summed(machine: FakeMachine, tmp_path: Path) -> None:
    service = made(machine, tmp_path, when=["cache 'kmalloc-*' > 10MiB", "cache dentry > 10MiB"])
    machine.slabs = {"kmalloc-64": 6 * MIB, "kmalloc-128": 3 * MIB, "dentry": 9 * MIB}
    grow(machine, service, 60, lambda: None)
    assert machine.started("--stacks=all") == []
    machine.slabs = {"kmalloc-64": 6 * MIB, "kmalloc-128": 5 * MIB, "dentry": 9 * MIB}
    grow(machine, service, 60, lambda: None)
    assert len(machine.started("--stacks=all")) == 1
    assert any("kmalloc-*" in line for line in machine.said if line.startswith("trigger"))


def test_what_cannot_be_measured_is_said_once(machine: FakeMachine, tmp_path: Path) -> None:
    machine.slabs = None
    service = made(machine, tmp_path, when=["cache dentry > 1MiB"])
    grow(machine, service, 600, lambda: None)
    assert [line for line in machine.said if "measured" in line] == [
        "cache dentry > 1MiB: it cannot be measured here"
    ]


@pytest.mark.parametrize(
    ("trigger", "fires"),
    [
        ("finding", True),
        ("finding growing", False),
        ("finding suspect growing", True),
        ("finding kmalloc-64", True),
        ("finding do_msgsnd", True),
        ("finding '*sys_msgsnd'", True),
        ("finding dentry", False),
        ("finding > 20B/min", True),  # certainly 30 bytes a minute
        ("finding > 40B/min", False),
    ],
)
def test_a_finding_that_triggers(machine: FakeMachine, tmp_path: Path, trigger: str, fires: bool) -> None:
    service = made(machine, tmp_path, when=trigger)
    service.take(judgement(row()))
    service.take(judgement(row()))
    assert len(machine.started("--stacks=all")) == fires


def test_a_new_suspect_runs_the_command_and_a_growing_one_does_not(
    machine: FakeMachine, tmp_path: Path
) -> None:
    service = made(machine, tmp_path, on_finding="page me")
    service.take(judgement(row("1:a", **{"class": "growing"})))
    service.step()
    assert machine.started("page") == []
    service.take(judgement(row("1:a"), row("1:b", title="é\x1b[31m")))
    service.step()
    given = [json.loads(job.given) for job in machine.started("page")]
    assert [each["signature"] for each in given] == ["1:a", "1:b"]
    assert given[0]["first_seen_boot_s"] == 500.0 and "said" not in given[0]


def test_a_triggered_recording_confirms_what_grows(machine: FakeMachine, tmp_path: Path) -> None:
    service = made(machine, tmp_path, when="finding growing suspect", on_finding="page")
    facts = fleets.facts_of(1, 2, random.Random(1))
    leak = fleets.finding(1, 0, random.Random(1), **fleets.suspect(64 * 86_400))
    service.take(judgement({**row(), **leak, "class": "growing"}))
    (record,) = machine.started("--stacks=all")
    record.code = 0
    service.step()
    machine.started("report")[0].code = 0
    service.step()
    (digest,) = machine.started("digest")
    trace = Path(digest.argv[digest.argv.index("digest") + 1])
    digest_of(trace, trace.parent).write_bytes(fleets.digest_of(facts, [leak]))
    digest.code = 0
    assert machine.started("page") == []
    service.step()
    (found,) = service.known.all()
    assert found.class_ == "suspect" and found.confirmed_s == facts["end_s"]
    assert len(machine.started("page")) == 1
    assert len(machine.started("--stacks=all")) == 1  # what it confirms makes no other one
    service.take(judgement({**row(), **leak, "class": "growing"}))
    suspects = {each.name: each for each in service.exported.families(service.totals, service._numbers())}
    assert [value for _, value in suspects["slabtrace_suspect_bytes"].samples] == [leak["bytes"]]


def test_a_service_that_is_started_again_knows_what_it_knew(machine: FakeMachine, tmp_path: Path) -> None:
    made(machine, tmp_path).take(judgement(row()))
    again = made(machine, tmp_path, on_finding="page")
    again.take(judgement(row()))
    again.step()
    assert machine.started("page") == [] and len(again.known.all()) == 1


def test_a_damaged_state_is_put_aside(machine: FakeMachine, tmp_path: Path) -> None:
    (tmp_path / "watch.json").write_text("{")
    made(machine, tmp_path).save()
    assert (tmp_path / "watch.json.damaged").read_text() == "{"
    assert "earlier findings are forgotten" in machine.said[0]
    assert json.loads((tmp_path / "watch.json").read_text())["findings"] == []


class Config:
    """A configuration that changes."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def __call__(self) -> Settings:
        return settings_of(self.values, "f.toml")


def test_a_bad_file_keeps_the_old_settings_and_says_so(machine: FakeMachine, tmp_path: Path) -> None:
    config = Config(folder=str(tmp_path), when="finding", keep=7)
    service = Service(config, machine, machine.said.append)
    config.values["when"] = "growth > x"
    config.values["keep"] = 9
    service.reload()
    assert (
        "the settings stay as they were: f.toml: watch.when: 'growth > x' is no trigger" in machine.said[-1]
    )
    assert service.settings.keep == 7 and [each.text for each in service.settings.when] == ["finding"]


@pytest.mark.parametrize("change", [{"folder": "/elsewhere"}, {"listen": "9797"}])
def test_what_cannot_change_is_said(machine: FakeMachine, tmp_path: Path, change: dict[str, str]) -> None:
    config = Config(folder=str(tmp_path), listen="9796")
    service = Service(config, machine, machine.said.append)
    config.values |= change
    service.reload()
    assert "cannot change while the service runs" in machine.said[-1]
    assert service.settings.listen == "9796"


def test_a_reload_keeps_what_conditions_have_seen(machine: FakeMachine, tmp_path: Path) -> None:
    config = Config(folder=str(tmp_path), when=["growth > 10MiB/h for 10min"])
    service = Service(config, machine, machine.said.append)
    service.step()
    kept = service.conditions[0]
    config.values["when"] = ["SUnreclaim > 1GiB", "growth > 10MiB/h for 10min"]
    config.values["every"] = "1min"
    service.reload()
    assert service.conditions[1] is kept and service.judge.settings.every == 60
    assert machine.said[-1] == "the settings were read again"
    assert machine.jobs[0].asked == 0  # the recorder goes on


def test_the_textfile_is_written_and_its_trouble_said_once(machine: FakeMachine, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    service = made(machine, tmp_path, textfile=str(tmp_path / "s.prom"))
    service.take(judgement(row()))
    text = (tmp_path / "s.prom").read_text()
    assert 'slabtrace_suspect_bytes{cache="kmalloc-64",function="do_msgsnd",signature="1:ab"} 640.0' in text
    service.settings = replace(service.settings, textfile=tmp_path / "none" / "s.prom")
    service.save()
    service.save()
    assert len([line for line in machine.said if "cannot be written" in line]) == 1


def test_a_judgement_that_fails_is_counted_and_tried_again(machine: FakeMachine, tmp_path: Path) -> None:
    service = made(machine, tmp_path, every="1min", cpu="1%")
    service.step()
    part = tmp_path / "series-20260921-141320.0001.slab"
    part.mkdir()
    grow(machine, service, 60, lambda: None)
    (job,) = machine.started("digest")
    job.code, job.cpu_s = 3, 6.0
    grow(machine, service, 590, lambda: None)
    assert service.judge.failed == 1 and "ended with 3" in machine.said[-1]
    assert len(machine.started("digest")) == 1  # 6 s of CPU time are 1 % of ten minutes
    grow(machine, service, 20, lambda: None)
    assert len(machine.started("digest")) == 2
    values = {
        each.name: each.samples for each in service.exported.families(service.totals, service._numbers())
    }
    assert values["slabtrace_digest_unreadable"] == (((), 1.0),)


def test_a_part_is_judged_when_it_has_what_was_before(machine: FakeMachine, tmp_path: Path) -> None:
    service = made(machine, tmp_path, every="10s")
    service.step()
    for number in (1, 2):
        (tmp_path / f"series-20260921-141320.000{number}.slab").mkdir()
    grow(machine, service, 20, lambda: None)
    assert machine.started("digest")[-1].argv[-5].endswith("0001.slab")
    machine.jobs[-1].code = 1
    (tmp_path / "series-20260921-141320.0002.slab" / "carried").mkdir()
    grow(machine, service, 20, lambda: None)
    assert machine.started("digest")[-1].argv[-5].endswith("0002.slab")


def test_one_service_a_folder(tmp_path: Path) -> None:
    other = pytest.raises(UsageError, match="another slabtrace watch")
    with running.locked(tmp_path), other, running.locked(tmp_path):
        pass
    with running.locked(tmp_path):
        pass


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@slabtrace-test-{tmp_path.name}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        running.notify(running.READY, {"NOTIFY_SOCKET": name})
        assert listener.recv(100) == b"READY=1"
    running.notify(running.READY, {"NOTIFY_SOCKET": name})  # nobody listens any more
    running.notify(running.READY, {})


@pytest.mark.parametrize(("words", "ended"), [("record", True), ("report", False)])
def test_a_recorder_without_its_service_is_ended(tmp_path: Path, words: str, ended: bool) -> None:
    argv = ["sh", "-c", "echo ready; sleep 1000; true", words, str(tmp_path / "series-1")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"  # Popen returns before /proc has its arguments
            assert not running.end_left_over(process.pid, tmp_path / "elsewhere")
            assert running.end_left_over(process.pid, tmp_path) == ended
            if ended:
                assert process.wait(60) == -signal.SIGTERM
        finally:
            with suppress(ProcessLookupError):  # all of the group may have ended by then
                os.killpg(process.pid, signal.SIGKILL)
    assert not running.end_left_over(process.pid, tmp_path)
    assert not any(running.end_left_over(each, tmp_path) for each in (None, "7", -1, 1, True))


def test_signals_reload_and_end_it(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = made(machine, tmp_path)
    steps: list[int] = []
    sent: list[str] = []
    done = service.step

    def step() -> None:
        done()
        steps.append(1)
        if len(steps) in (3, 6):
            signal.raise_signal(signal.SIGHUP if len(steps) == 3 else signal.SIGTERM)

    monkeypatch.setattr(service, "step", step)
    monkeypatch.setattr(running, "STEP_S", 0.001)
    monkeypatch.setattr(running, "notify", lambda what: sent.append(what))
    machine.run = lambda job: setattr(job, "on_end", lambda: setattr(job, "code", 0))
    before = signal.getsignal(signal.SIGTERM)
    running.run(service)
    assert len(steps) == 6 and machine.jobs[0].asked == 1 and machine.jobs[0].killed <= 1
    assert machine.said == ["the settings were read again", "ending"]
    assert [each for each in sent if each != running.ALIVE] == [
        running.RELOADING,
        running.READY,
        running.STOPPING,
    ]
    assert signal.getsignal(signal.SIGTERM) == before
    assert json.loads((tmp_path / "watch.json").read_text())["schema"] == "slabtrace.watch/1"


def test_an_error_of_our_own_leaves_no_process(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = made(machine, tmp_path)
    done = service.step

    def fails() -> None:
        done()
        raise RuntimeError("a bug")

    monkeypatch.setattr(service, "step", fails)
    with pytest.raises(RuntimeError):
        running.run(service)
    assert machine.jobs[0].killed == 1


@pytest.mark.parametrize("code", [2, 4])
def test_where_nothing_can_be_recorded_it_ends_and_says_so(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    machine.run = lambda job: setattr(job, "code", code)
    monkeypatch.setattr(running, "STEP_S", 0.001)
    with pytest.raises(CaptureError, match="cannot record here"):
        running.run(made(machine, tmp_path))
    assert len(machine.jobs) == 1


def test_a_second_signal_ends_it_at_once(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = made(machine, tmp_path)  # its recorder does not end when it is asked to
    monkeypatch.setattr(running, "STEP_S", 0.001)
    monkeypatch.setattr(running, "notify", lambda what: signal.raise_signal(signal.SIGINT))
    running.run(service)
    assert machine.jobs[0].asked == 1 and machine.jobs[0].killed
