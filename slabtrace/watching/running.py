# SPDX-License-Identifier: Apache-2.0
"""Runs the service: a step about once a second until a signal ends it.

Signals only set flags.  SIGHUP reads the settings again, and a file that is wrong leaves the old ones.
SIGTERM and SIGINT end the recorder properly, with the checks at its end, and the series is judged a last
time; a second one ends all at once.  systemd learns what goes on (sd_notify(3)), where NOTIFY_SOCKET is set.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from slabtrace.errors import CaptureError, UsageError
from slabtrace.fleet.metrics import openmetrics
from slabtrace.watching import state
from slabtrace.watching.recorder import END_S, PREFIX
from slabtrace.watching.service import Service

STEP_S = 1.0
LAST_S = 60.0  # for the last judgement, and the commands on what it found
READY, RELOADING, STOPPING, ALIVE = "READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1"


def run(service: Service) -> None:
    """Run until SIGTERM or SIGINT, and end properly.

    Raises UsageError if another one uses the folder, or prometheus_client is missing, CaptureError if nothing
    can be recorded, OSError.
    """
    runs = _Runs(service)
    with locked(service.settings.folder), _served(service), runs.signals():
        if end_left_over(service.recorder_before, service.settings.folder):
            service.say("a recorder of a service that was killed still ran: it is ended")
        try:
            runs.until_asked()
            runs.end()
        finally:
            service.kill()


class _Runs:
    """A service that runs, and what signals have asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._wake = threading.Event()
        self._ends = self._reloads = 0
        self._ready = False

    def until_asked(self) -> None:
        """One step after another until a signal asks for the end."""
        while not self._ends:
            if self._reloads:
                self._reloads = 0
                notify(RELOADING)
                self._service.reload()
                notify(READY)
            self._service.step()
            if self._service.recorder.hopeless:
                raise CaptureError("the recorder cannot record here", "`slabtrace doctor` says why")
            if self._service.ready and not self._ready:
                self._ready = True
                notify(READY)
            self._wait()

    def end(self) -> None:
        """End properly, or at once after a second signal."""
        notify(STOPPING)
        service = self._service
        service.end()
        if self._wait_for(lambda: service.ended, END_S):
            service.judge_last()
            self._wait_for(service.step_to_end, LAST_S)
        service.save()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM, SIGINT and SIGHUP are noted in the block."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self._reloads += 1
        else:
            self._ends += 1
        self._wake.set()

    def _wait(self) -> None:
        self._wake.wait(STEP_S)
        self._wake.clear()
        notify(ALIVE)

    def _wait_for(self, done: Callable[[], bool], seconds: float) -> bool:
        for _ in range(round(seconds / STEP_S)):
            if self._ends > 1 or done():
                break
            self._wait()
        return self._ends < 2 and done()


@contextmanager
def _served(service: Service) -> Iterator[None]:
    """Metrics are served in the block, if that is wanted."""
    settings = service.settings
    if settings.textfile is not None:
        openmetrics.client()  # that it is missing should be said at once
    end: Callable[[], None] | None = None
    if settings.listen:
        url, end = openmetrics.serve(settings.listen, openmetrics.registry_of(service.snapshot))
        service.say(f"serving {url}")
    try:
        yield
    finally:
        if end is not None:
            end()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else watches in this folder.  Raises UsageError if somebody does."""
    with (folder / state.LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another slabtrace watch uses {folder}", "end it first, or choose another folder"
            ) from None
        yield


def end_left_over(pid: object, folder: Path, proc: Path = Path("/proc")) -> bool:
    """End the recorder `pid` if it still records into `folder`, though its service is gone."""
    if type(pid) is not int or pid <= 1:
        return False
    with suppress(OSError):
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
        if b"record" in words and any(word.startswith(os.fsencode(folder / PREFIX)) for word in words):
            os.kill(pid, signal.SIGTERM)
            return True
    return False


def notify(what: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send one state, like READY, to systemd."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send(what.encode())
