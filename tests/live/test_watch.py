# SPDX-License-Identifier: Apache-2.0
"""`slabtrace watch` on the running kernel: a leak of known count is found, recorded in full, and exported."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.capture.process.privileges import Capability
from slabtrace.trace.manifest import load as load_manifest
from slabtrace.watching import state
from tests.live.conftest import PATIENCE_S, SLABTRACE, wait_for
from tests.live.messages import new_queue, send
from tests.live.ordinary_user import NOBODY, as_nobody, as_root
from tests.live.test_containers import left
from tests.live.test_exact_counts import cache_of_a_message
from tests.needs import need_program
from tests.places import ROOT

UNIT = ROOT / "deploy/systemd/slabtrace-watch.service"
EVERY_S, IN_A_QUEUE = 0.2, 200  # one message more; a queue holds 256 of them
FIVE = ("bpf", "perfmon", "syslog", "dac_read_search", "sys_nice")


@dataclass
class Watch:
    """A `slabtrace watch` in the background."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def says(self, words: str) -> str:
        """The first line of its log with these words, once it is there."""

        def line() -> str:
            assert self.process.poll() is None, self.log.read_text()
            return next((each for each in self.log.read_text().splitlines() if words in each), "")

        found: str = wait_for(line)
        return found

    def state(self) -> dict[str, Any]:
        return state.load(self.folder)

    def finding(self) -> dict[str, Any]:
        """What it knows of the messages; empty: nothing yet."""
        found = (each for each in self.state().get("findings", []) if "load_msg" in each["title"])
        return next(found, {})

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()


Start = Callable[..., Watch]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `slabtrace watch` with options; what still runs after the test is killed."""
    started: list[Watch] = []

    def made(*options: str, before: tuple[str, ...] = ()) -> Watch:
        folder, log = Path(tempfile.mkdtemp(prefix="slabtrace-")), tmp_path / f"log-{len(started)}"
        if before:
            os.chown(folder, NOBODY, NOBODY)
        small = ("--folder", str(folder), "--cache", cache_of_a_message(), "--cpu", "100%", "--disk", "1GiB")
        small = (*small, "--sample", "1/1")
        with log.open("wb") as file:
            argv = [*before, *SLABTRACE, "watch", *small, *options]
            process = subprocess.Popen(argv, stderr=file, stdin=subprocess.DEVNULL)
        started.append(Watch(process, folder, log))
        return started[-1]

    yield made
    for watch in started:
        for pid in (watch.state().get("recorder"), watch.process.pid):
            if watch.process.poll() is None and pid:
                os.kill(pid, signal.SIGKILL)
        watch.process.wait()
        shutil.rmtree(watch.folder)


class Leak:
    """A message more, again and again, in queues of its own."""

    def __init__(self) -> None:
        self.sent = 0
        self._stopped, self._last, self._over = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with ExitStack() as queues:
            while not self._stopped.wait(EVERY_S):
                if self.sent % IN_A_QUEUE == 0:
                    queue = queues.enter_context(new_queue())
                send(queue, 1)
                self.sent += 1
            self._last.set()
            self._over.wait()

    def __enter__(self) -> Leak:
        self._thread.start()
        return self

    def stop(self) -> int:
        """Leak no more; what was leaked stays until the block ends.  Gives the count."""
        self._stopped.set()
        assert self._last.wait(PATIENCE_S)
        return self.sent

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._over.set()
        self._thread.join()


def metrics(watch: Watch) -> dict[str, float]:
    """Values by name, of those with a signature by name and signature."""
    from prometheus_client.parser import text_string_to_metric_families

    (url,) = re.findall(r"http://\S+", watch.says("serving http://"))
    with urllib.request.urlopen(url) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [each for family in families for each in family.samples]
    return {f"{each.name} {each.labels.get('signature', '')}".strip(): each.value for each in samples}


def test_a_leak_is_found_recorded_exported_and_counted(
    start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("prometheus_client")
    config, given = tmp_path / "s.toml", tmp_path / "given"
    config.write_text(
        '[labels]\nrole = "test"\n\n[watch]\nevery = "10s"\nrotate = "20s"\nkeep = 3\nrecord = "20s"\n'
        'inspect = "1s"\nat_most = "2/day"\nlisten = "0"\nwhen = ["finding suspect growing *load_msg*"]\n'
        f"on_finding = ['sh', '-c', 'cat > {given}']\n"
    )
    began_s = time.time()
    watch = start("--config", str(config))
    watch.says("recording into")
    with Leak() as leak:
        leaking_s = time.time()
        wait_for(watch.finding)
        found = watch.finding()
        assert found["class_"] in ("suspect", "growing") and found["present"] and found["boots"] == 1
        assert began_s < leaking_s < found["first_seen_s"] < time.time()
        assert abs(found["since_s"] - leaking_s) < 10
        assert 0 < found["objects"] <= leak.sent

        config.write_text(config.read_text().replace('"10s"', '"often"'))
        watch.process.send_signal(signal.SIGHUP)
        assert "watch.every: 'often' is not a duration" in watch.says("the settings stay as they were")
        config.write_text(config.read_text().replace('"often"', '"11s"'))
        watch.process.send_signal(signal.SIGHUP)
        watch.says("the settings were read again")

        # its slabs are asked at its end, so it is a suspect also where some free paths cannot be traced
        wait_for(lambda: watch.state()["counts"]["triggered"]["recorded"])
        wait_for(lambda: watch.finding()["class_"] == "suspect")
        wait_for(lambda: given.exists() and given.read_text().endswith("\n"))
        assert json.loads(given.read_text())["title"] == found["title"]
        exported = f"slabtrace_suspect_bytes {found['signature']}"
        wait_for(lambda: metrics(watch).get(exported, 0) > 0)
        wait_for(lambda sent=leak.sent: metrics(watch)["slabtrace_events_total"] >= sent)
        sent = leak.stop()
        watch.end()

    (trace,) = (watch.folder / "triggered").glob("*.slab")  # a trigger that goes on holding fires once
    assert trace.with_suffix(".html").exists() and list(trace.parent.glob("*.digest.parquet"))
    full = slabtrace.open(trace)
    assert full.manifest.options["stacks"] == "all" and full.manifest.labels["role"] == "test"
    assert full.manifest.labels["trigger"].startswith("finding suspect growing")
    assert full.manifest.inspection is not None and full.manifest.inspection.objects > 0
    found = watch.finding()
    # a finding is of all processes: beside noise also of its messages in flight
    others = found["objects"] - sent
    assert (found["class_"], found["present"]) == ("suspect", True)
    assert others >= 0 and (others == 0 or request.config.getoption("--noise"))
    newest = max(watch.folder.glob("series-*.slab"), key=lambda each: load_manifest(each).started_ns)
    assert left(newest, pid=[os.getpid()]) == sent
    assert found["first_seen_s"] < found["confirmed_s"] < found["last_seen_s"]
    assert len(list(watch.folder.glob("series-*.slab"))) <= 4
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(watch.folder) not in commands


def test_a_recorder_that_dies_is_started_again(start: Start) -> None:
    watch = start("--rotate", "1h")
    watch.says("recording into")
    first = wait_for(lambda: watch.state().get("recorder"))
    assert effective(watch)[0] & ~(1 << Capability.DAC_READ_SEARCH | 1 << Capability.DAC_OVERRIDE) == 0
    os.kill(first, signal.SIGKILL)
    watch.says("the recorder ended with signal 9")
    wait_for(lambda: watch.state()["recorder"] not in (None, first) and watch.state()["recording"])
    watch.end()
    assert len(list(watch.folder.glob("series-*.slab"))) == 2


def effective(watch: Watch) -> tuple[int, str]:
    """The capabilities that the service itself uses, as bits, and all it says of itself in /proc."""
    recorder = wait_for(lambda: watch.state().get("recorder"))
    (service,) = re.findall(r"^PPid:\s+(\d+)$", Path(f"/proc/{recorder}/status").read_text(), re.M)
    status = Path(f"/proc/{service}/status").read_text()
    return int(re.findall(r"^CapEff:\s+([0-9a-f]+)$", status, re.M)[0], 16), status


def test_behind_sudo_it_is_the_user_who_called(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.setenv(name, str(NOBODY))
    watch = start("--every", "10s", before=tuple(as_root()))
    watch.says("recording into")
    bits, status = effective(watch)
    assert bits == 1 << Capability.DAC_READ_SEARCH
    assert re.search(rf"^Uid:\s+{NOBODY}\s+{NOBODY}\s", status, re.M)
    watch.end()
    assert {each.stat().st_uid for each in watch.folder.rglob("*")} == {NOBODY}
    assert watch.state()["judged_until_s"] is not None


def test_it_works_with_what_its_unit_allows(start: Start) -> None:
    """An ordinary user with five capabilities, of which the service uses one, and the unit's system calls."""
    need_program("systemd-analyze")
    filtered = [sys.executable, "-m", "tests.live.unit_filter", str(UNIT)]
    watch = start("--every", "10s", before=(*as_nobody(FIVE), *filtered))
    watch.says("recording into")
    bits, status = effective(watch)
    assert bits == 1 << Capability.DAC_READ_SEARCH
    assert re.search(r"^Seccomp:\s+2$", status, re.M)
    watch.end()
    (part,) = watch.folder.glob("series-*.slab")
    trace = slabtrace.open(part)
    assert trace.manifest.status == "complete" and trace.completeness().dropped == 0
    assert trace.caches()["slabinfo_end"].notna().any()
    assert watch.state()["judged_until_s"] is not None
