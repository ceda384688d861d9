# SPDX-License-Identifier: Apache-2.0
"""A scenario recorded by `slabtrace record`: the load and the recorder are processes of their own."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from slabtrace.trace import manifest
from tests.verdict.kept import Kept
from tests.verdict.kernel_caches import shown_names, sizes
from tests.verdict.scenario import Scenario

PATIENCE_S = 120.0  # for the recorder to start and to end


class FailedError(Exception):
    """A run came to nothing; says why."""


def record(scenario: Scenario, seconds: float, folder: Path, stem: str) -> Kept:
    """Run and record a scenario; its trace and NAME.json are in `folder` then.  Raises FailedError."""
    for old in folder.glob(f"{stem}.*slab"):
        shutil.rmtree(old)
    with _load(scenario, seconds) as load:
        if scenario.begins == "before":
            _tell(load, "go")
            time.sleep(scenario.lead)
        _record(scenario, seconds, folder / f"{stem}.slab", load)
        said = json.loads(_tell(load, "stop", answer=True))
    (trace,) = sorted(folder.glob(f"{stem}.*slab"))[-1:]  # the newest part
    kept = Kept(scenario.name, trace.name, seconds, platform.release(), said["pids"], said["left"])
    kept.sizes, kept.shown = sizes(), shown_names()
    kept.save(folder / f"{stem}.json")
    return kept


@contextlib.contextmanager
def _load(scenario: Scenario, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """The load, set up; it gives everything back when the block ends."""
    most = scenario.lead + seconds + 2 * PATIENCE_S
    argv = [sys.executable, "-m", "tests.verdict.work", scenario.name, str(most)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None and load.stdout is not None
        try:
            if load.stdout.readline() != "ready\n":
                raise FailedError(f"the load of {scenario.name} could not be set up")
            yield load
        finally:
            with contextlib.suppress(BrokenPipeError):
                load.stdin.close()
            load.wait(PATIENCE_S)


def _tell(load: subprocess.Popen[str], line: str, answer: bool = False) -> str:
    assert load.stdin is not None and load.stdout is not None
    try:
        load.stdin.write(f"{line}\n")
        load.stdin.flush()
    except BrokenPipeError as error:
        raise FailedError("the load ended too early") from error
    said = load.stdout.readline() if answer else ""
    if answer and not said:
        raise FailedError("the load ended too early")
    return said


def _record(scenario: Scenario, seconds: float, output: Path, load: subprocess.Popen[str]) -> None:
    """The recorder, from its start to its end; a load that begins with the recording is started meanwhile."""
    duration = () if scenario.killed else ("-d", f"{seconds:g}s")
    argv = [
        sys.executable,
        "-m",
        "slabtrace",
        "record",
        "-q",
        "-o",
        str(output),
        *duration,
        *scenario.options,
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as recorder:
        try:
            if scenario.begins == "with" or scenario.killed:
                _wait_until_it_records(output, recorder)
            if scenario.begins == "with":
                _tell(load, "go")
            if scenario.killed:
                time.sleep(seconds)
                recorder.kill()
            _, errors = recorder.communicate(timeout=seconds + PATIENCE_S)
        except BaseException:
            recorder.send_signal(signal.SIGTERM)
            raise
    if recorder.returncode and not scenario.killed:
        raise FailedError(f"slabtrace record: {errors.strip() or recorder.returncode}")


def _wait_until_it_records(output: Path, recorder: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ((output / "manifest.json").exists() and manifest.load(output).totals.events):
        if recorder.poll() is not None or time.monotonic() > deadline:
            raise FailedError("slabtrace record did not begin")
        time.sleep(0.05)
