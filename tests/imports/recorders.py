# SPDX-License-Identifier: Apache-2.0
"""perf, ftrace, trace-cmd and LTTng recording at the same time, each as docs/import.md says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

EVENTS = ("kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free")
OF_NODES = ("kmalloc_node", "kmem_cache_alloc_node")  # up to 6.0
TRACING = Path("/sys/kernel/tracing")
FILES = {"perf": "perf.data", "ftrace": "trace.txt", "trace-cmd": "trace.dat", "LTTng": "lttng"}
_SESSIOND = Path("/run/lttng/lttng-sessiond.pid")
_ENDS_S = 600  # at most, for a tool to write what it has


@contextmanager
def recording(place: Path, ready_s: float, tools: Sequence[str] = tuple(FILES)) -> Iterator[dict[str, Path]]:
    """Those of the tools that run here record from `ready_s` after the begin of the block to its end.

    By tool, where its recording will be; beside it NAME.stderr, what the tool said.
    """
    recorders: dict[str, tuple[bool, Callable[[Path], AbstractContextManager[None]]]] = {
        "perf": (shutil.which("perf") is not None, _perf),
        "ftrace": (True, _ftrace),
        "trace-cmd": (_trace_cmd_runs(), _trace_cmd),
        "LTTng": (shutil.which("lttng") is not None and _has_module("lttng-probe-kmem"), _lttng),
    }
    wanted = {name: place / FILES[name] for name in tools if recorders[name][0]}
    with ExitStack() as running:
        for name, path in wanted.items():
            running.enter_context(recorders[name][1](path))
        time.sleep(ready_s)
        yield wanted


def recorded(place: Path) -> dict[str, Path]:
    """The recordings in a folder, by tool."""
    return {name: place / file for name, file in FILES.items() if (place / file).exists()}


def said(path: Path) -> Path:
    """The file with what the tool of a recording said."""
    return path.with_name(f"{path.name}.stderr")


def events() -> list[str]:
    """The kmem events that this kernel has."""
    return [each for each in (*EVENTS, *OF_NODES) if (TRACING / "events/kmem" / each).exists()]


@contextmanager
def _perf(output: Path) -> Iterator[None]:
    names = ",".join(f"kmem:{each}" for each in events())
    command = ["perf", "record", "-a", "-g", "-k", "mono", "-m", "32M", "-e", names, "-o", output]
    with _stopped(command, output):
        yield


@contextmanager
def _trace_cmd(output: Path) -> Iterator[None]:
    names = [word for each in events() for word in ("-e", f"kmem:{each}")]
    with _stopped(["trace-cmd", "record", "-C", "mono", "-b", "32768", *names, "-o", output], output):
        yield


def _trace_cmd_runs() -> bool:
    if shutil.which("trace-cmd") is None:
        return False
    command = ["trace-cmd", "record", "-e", "kmem:kfree", "-o", "/dev/null", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _stopped(command: list[object], output: Path) -> Iterator[None]:
    with said(output).open("wb") as errors:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=errors)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_ENDS_S)


@contextmanager
def _ftrace(output: Path) -> Iterator[None]:
    """An instance of its own, with addresses instead of hashes; read by trace_pipe, which shows losses."""
    instance = TRACING / "instances" / f"slabtrace-imports-{os.getpid()}"
    instance.mkdir()
    pipe = None
    try:
        (instance / "trace_clock").write_text("mono")
        if (instance / "options/hash-ptr").exists():  # since 5.12
            (instance / "options/hash-ptr").write_text("0")
        (instance / "buffer_size_kb").write_text("32768")
        for each in events():
            (instance / f"events/kmem/{each}/enable").write_text("1")
        with output.open("wb") as file:
            pipe = subprocess.Popen(["cat", str(instance / "trace_pipe")], stdout=file)
            yield
            (instance / "tracing_on").write_text("0")
            time.sleep(2)
    finally:
        for each in events():
            (instance / f"events/kmem/{each}/enable").write_text("0")
        if pipe is not None:
            pipe.terminate()
            pipe.wait(10)
        instance.rmdir()


def _has_module(name: str) -> bool:
    known = shutil.which("modinfo") is not None
    return known and subprocess.run(["modinfo", name], capture_output=True, check=False).returncode == 0


@contextmanager
def _lttng(output: Path) -> Iterator[None]:
    names = [f"kmem_{each.removeprefix('kmem_')}" for each in events()]
    _run("lttng-sessiond", "--daemonize")
    try:
        _run("lttng", "create", "imports", f"--output={output}")
        _run("lttng", "enable-channel", "-k", "--subbuf-size=4M", "--num-subbuf=4", "all")
        _run("lttng", "enable-event", "-k", "-c", "all", ",".join(names))
        _run("lttng", "add-context", "-k", "-c", "all", "-t", "tid", "-t", "pid", "-t", "procname")
        _run("lttng", "start")
        yield
        _run("lttng", "stop")
        _run("lttng", "destroy", "imports")
    finally:
        _end_sessiond()


def _end_sessiond() -> None:
    """Until it has unloaded its modules: trace-cmd gives up where /proc/kallsyms changes while it is read."""
    if _SESSIOND.exists():
        process = Path("/proc") / _SESSIOND.read_text().strip()
        subprocess.run(["pkill", "--pidfile", str(_SESSIOND)], check=False)
        deadline = time.monotonic() + _ENDS_S
        while process.exists() and time.monotonic() < deadline:
            time.sleep(0.1)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_ENDS_S)
