# SPDX-License-Identifier: Apache-2.0
"""Waits of the kernel lab, without a kernel: when a wait ends, and what a missed deadline prints."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from slabtrace.trace.files.place import make_place
from slabtrace.trace.manifest import Manifest, Totals
from tests.kernels import experiment, guest, last_state, waits, workload


class Share:
    """A guest's folder: what its recorder saves, what its workload requests, what the host answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = make_place(path / waits.TRACE)

    def save(self, modules: int = 0, events: int = 0) -> None:
        Manifest(totals=Totals(modules=modules, events=events)).save(self._place)

    def ask(self, name: str) -> None:
        (self.path / f"wait-{name}").touch()

    def met(self) -> set[str]:
        return {path.name.removeprefix("met-") for path in self.path.glob("met-*")}


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def scripts(share: str) -> list[str]:
    leaver, module = Path("leaver"), Path("slabtrace_faults.ko")
    return [
        workload.leaks_script(leaver, module, share),
        workload.mismatches_script(module, share),
        workload.whole_script(leaver, module, share),
    ]


def test_a_module_is_known_once_the_manifest_counts_one_more(share: Share) -> None:
    watch = waits.Watch(share.path, 60)
    share.ask("symbols")
    assert (watch.answer(), share.met()) == ("", set()), "there is no manifest yet"
    share.save(modules=0)
    assert (watch.answer(), share.met()) == ("", set()), "the first totals are not saved yet"
    share.save(modules=6)
    assert (watch.answer(), share.met()) == ("", {"symbols"})
    share.save(modules=8)  # before the guest asks
    share.ask("module")
    assert (watch.answer(), share.met()) == ("", {"symbols", "module"})
    assert set(watch.took_s) == {"symbols", "module"}


def test_without_one_more_module_the_wait_goes_on(share: Share) -> None:
    watch = waits.Watch(share.path, 60)
    share.save(modules=6)
    share.ask("symbols")
    share.ask("module")
    for events in range(3):
        share.save(modules=6, events=events)
        watch.answer()
    assert share.met() == {"symbols"}


def test_events_are_stored_once_their_count_has_grown_twice(share: Share) -> None:
    watch = waits.Watch(share.path, 60)
    share.ask("stored")
    for events, met in ((10, False), (10, False), (25, False), (25, False), (31, True)):
        share.save(events=events)
        watch.answer()
        assert ("stored" in share.met()) == met


def test_the_last_wrong_free_is_reported_once_stderr_has_it(share: Share) -> None:
    watch = waits.Watch(share.path, 60)
    share.ask("reported")
    for line, met in (("apparent double-free\n", False), ("apparent wrong-cache-free of 0x1\n", True)):
        (share.path / waits.STDERR).write_text(line)
        watch.answer()
        assert ("reported" in share.met()) == met


def test_a_guest_has_booted_once_its_command_has_an_output(share: Share) -> None:
    watch = waits.Watch(share.path, 60)
    share.ask("boot")
    assert (watch.answer(), share.met()) == ("", set())
    (share.path / waits.OUTPUT).touch()
    assert (watch.answer(), share.met()) == ("", {"boot"})


def test_a_deadline_counts_from_the_request_and_names_the_condition(share: Share) -> None:
    now = 0.0
    watch = waits.Watch(share.path, 400, clock=lambda: now)
    now = 100
    assert watch.answer() == ""
    share.ask("symbols")
    assert watch.answer() == ""
    now += waits.DEADLINE_S
    assert watch.answer() == ""
    now += 1
    assert (
        watch.answer()
        == "not met within 151 s: the manifest counts modules: the recorder has saved its first totals"
    )


def test_a_guest_that_does_not_end_names_the_wait_that_is_open(share: Share) -> None:
    now = 0.0
    watch = waits.Watch(share.path, 20, clock=lambda: now)
    now = 21
    assert watch.answer() == "the guest did not end within 21 s"
    share.ask("symbols")
    assert watch.answer().startswith("the guest did not end within 21 s; not met yet: the manifest counts")


def test_every_wait_is_asked_for_and_has_a_condition_and_a_deadline() -> None:
    lines = "".join(scripts("/share")).splitlines()
    asked = {line.split()[1] for line in lines if line.startswith("wait_for ")}
    assert asked | {waits.BOOT.name} == {wait.name for wait in waits.WAITS}
    assert all(0 < wait.deadline_s < 420 and wait.what for wait in waits.WAITS)


@pytest.mark.parametrize("script", scripts(guest.SHARED))
def test_no_script_reads_a_file_that_the_recorder_replaces(script: str) -> None:
    """On 6.12 the 9p read of a file that was replaced meanwhile may never return (waits.py)."""
    assert waits.TRACE not in script and "manifest" not in script and "grep" not in script


def test_a_guest_continues_although_the_manifest_is_replaced_all_the_time(share: Share) -> None:
    script = scripts(str(share.path))[0].partition("/bin/busybox insmod")[0]
    waiting = script.replace("/bin/busybox usleep 100000", "sleep 0.01")
    done = threading.Event()

    def record() -> None:
        events = 0
        while not done.is_set():
            events += 1
            share.save(modules=7, events=events)

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        argv = ["sh", "-e", "-c", f"{waiting}wait_for stored\n"]
        assert guest._qemu(argv, waits.Watch(share.path, 60)) == ""
    finally:
        done.set()
        recorder.join()
    assert share.met() == {"symbols", "stored"}


def test_a_guest_that_misses_a_deadline_is_ended_and_shows_its_last_state_in_one_screen(share: Share) -> None:
    share.save(modules=0, events=11_700_000)
    (share.path / "console.log").write_text("".join(f"[ {n}] line {n}\n" for n in range(99)))
    (share.path / "steps.jsonl").write_text('{"name": "doctor", "status": 0, "seconds": 9.7}\n')
    stuck = "906 R (running): grep -o modules manifest.json [netfs_retry_reads < vfs_read <]"
    stand_in = f"""\
touch wait-symbols
until [ -e {last_state.REQUEST} ]; do sleep 0.01; done
for other in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo '{stuck}' >>new; done
mv new {last_state.PROCESSES}
exec sleep 600"""
    short = [waits.Wait("symbols", "the manifest counts modules", lambda seen: False, deadline_s=0.2)]
    argv = ["sh", "-c", f"cd {share.path}\n{stand_in}"]
    overdue = guest._qemu(argv, waits.Watch(share.path, 60, short))
    assert overdue == "not met within 0 s: the manifest counts modules"
    outcome = guest._outcome(share.path, 1.0, overdue)
    printed = str(experiment.Row("6.12", "guest: leaks", outcome.failure, 1.0, outcome.state))
    state = "recording, 11,700,000 events, 0 modules"
    for words in (overdue, "doctor (status 0, 9.7 s)", state, "line 98", stuck, "and 4 more"):
        assert words in printed
    assert len(printed.splitlines()) < 40


def test_a_guest_that_cannot_list_its_processes_does_not_hold_up_the_lab(tmp_path: Path) -> None:
    last_state.ask(tmp_path, patience_s=0.1)
    assert "the guest did not list them" in last_state.screen(tmp_path)
