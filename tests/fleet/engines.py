# SPDX-License-Identifier: Apache-2.0
"""Engines that must give one report: here, on workers that live or are killed, on two schedulers."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slabtrace.errors import SlabtraceError
from slabtrace.fleet.engines import dask
from slabtrace.fleet.engines import engine as engines
from slabtrace.fleet.engines.engine import Engine, InProcess
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.running import Outcome, run
from slabtrace.fleet.store import Store
from tests.places import FIXTURES

Seen = tuple[bool, str]
TRACES = 24
NAMES = ("slow-leak", "survivors", "clean", "dentries", "reused")


def same_everywhere(folder: Path) -> Seen:
    """In this process in two orders, on one worker, on two."""
    fleet = traces(folder)
    here = read(fleet, folder / "here", None)
    made = {"one worker": lambda: dask.local(1), "two workers": lambda: dask.local(2)}
    others = {name: read(fleet, folder / name, engine) for name, engine in made.items()}
    others["another order"] = read(fleet, folder / "order", None, shuffled=True)
    equal = [name for name, outcome in others.items() if text(outcome) == text(here)]
    words = f"{TRACES} traces, {len(text(here)):,} bytes of report; equal: {', '.join(equal)}"
    return len(equal) == len(others) and not here.unread, words


def kills(folder: Path) -> Seen:
    """A worker is killed after every third digest; then, in another run, all of them at once."""
    fleet = traces(folder)
    here = text(read(fleet, folder / "here", None))
    bundled, engines.TOGETHER = engines.TOGETHER, 2
    seen = []
    for name, every, most in (("one after every third", 3, TRACES), ("all at once", 3, 1)):
        killed: list[int] = []
        outcome = read(fleet, folder / name, killing(killed, Store(folder / name), every, most))
        seen.append((name, len(killed), text(outcome) == here, len(outcome.unread)))
    engines.TOGETHER = bundled
    said = (
        f"{name}: {number} killed, equal {equal}, {unread} unread" for name, number, equal, unread in seen
    )
    return all(equal and number for _, number, equal, _ in seen), "; ".join(said)


def scheduler_killed(folder: Path) -> Seen:
    """Scheduler and workers as processes of their own; the scheduler is killed, then the run begins again."""
    fleet = traces(folder)
    here = text(read(fleet, folder / "here", None))
    store = Store(folder / "store")
    with cluster(folder, "first") as (scheduler, address):
        killer = threading.Thread(target=when_some_are_there, args=(store, 1, scheduler.kill))
        killer.start()
        lost = ""
        try:
            run([str(fleet)], lambda: dask.connected(address), store, lambda _: None)
        except SlabtraceError as error:
            lost = error.message
        killer.join()
    before = len(list(store.folder.glob("*.parquet")))
    with cluster(folder, "second") as (_, address):
        again = run([str(fleet)], lambda: dask.connected(address), store, lambda _: None)
    reused, equal = again.progress.reused, text(again) == here
    words = f"lost with {before} of {TRACES} made ({lost!r}); then {reused} reused, equal {equal}"
    return bool(lost) and 0 < again.progress.reused == before and text(again) == here, words


def traces(folder: Path) -> Path:
    """Traces of TRACES hosts: the fixtures with other names of hosts."""
    fleet = folder / "fleet"
    for at in range(TRACES):
        target = fleet / f"host-{at:03}.slab"
        shutil.copytree(FIXTURES / f"{NAMES[at % len(NAMES)]}.slab", target)
        manifest = json.loads((target / "manifest.json").read_text())
        manifest["host"] |= {"hostname": f"host-{at:03}", "boot_id": f"boot-{at}", "release": f"6.{at % 3}"}
        (target / "manifest.json").write_text(json.dumps(manifest))
    return fleet


def read(fleet: Path, store: Path, engine: Callable[[], Engine] | None, shuffled: bool = False) -> Outcome:
    kept = Store(store)
    places = [str(path) for path in sorted(fleet.iterdir())]
    if shuffled:
        random.Random(1).shuffle(places)
    return run(places, engine or (lambda: InProcess(kept)), kept, lambda _: None)


def text(outcome: Outcome) -> str:
    return json.dumps(report(outcome.merged, outcome.unread))


def killing(killed: list[int], store: Store, every: int, most: int) -> Callable[[], Engine]:
    """An engine of two workers; one is killed after each `every` digests, or (`most` 1) all of them once."""

    def made() -> Engine:
        engine = dask.local(2)
        close, ended = engine.close, threading.Event()

        def kill() -> None:
            for step in range(1, most + 1):
                while len(list(store.folder.glob("*.parquet"))) < step * every:
                    if ended.wait(0.05):
                        return
                with suppress(Exception):
                    pids = sorted(engine._client.run(os.getpid).values())
                    for pid in pids if most == 1 else pids[:1]:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)

        thread = threading.Thread(target=kill)
        thread.start()

        def closed() -> None:
            ended.set()
            thread.join()
            close()

        engine.close = closed  # type: ignore[method-assign]
        return engine

    return made


def when_some_are_there(store: Store, number: int, action: Callable[[], Any]) -> None:
    while len(list(store.folder.glob("*.parquet"))) < number:
        time.sleep(0.02)
    action()


@contextmanager
def cluster(folder: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`dask scheduler` and two `dask worker`, as processes; gives the scheduler and its file."""
    file = folder / f"{name}.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    started = [subprocess.Popen([*command, "--no-dashboard", "--scheduler-file", str(file)], **quiet)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
    options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "10"]
    try:
        while not file.exists():
            time.sleep(0.05)
        started += [subprocess.Popen([*worker, *options], **quiet) for _ in range(2)]
        yield started[0], str(file)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
