# SPDX-License-Identifier: Apache-2.0
"""A recorder in a pod: namespaces, a folder of its own, five capabilities, a seccomp filter, 300 MB."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slabtrace.trace.manifest import load as load_manifest
from tests.live.conftest import PATIENCE_S, SLABTRACE, wait_for
from tests.live.messages import new_queue, send
from tests.live.pod import CAPABILITIES, NAMESPACES
from tests.live.test_containers import began, in_cgroup, left, limited

INSIDE, OUTSIDE = 43, 53  # messages left by the command in the pod, and by this test
# Leaves messages in a queue of the pod's IPC namespace, says what it may not do, and waits for a file.
SEND = """
import ctypes, sys, time; from pathlib import Path; from tests.live.messages import libc, send
send(libc.msgget(0, 0o600), int(sys.argv[1]))
forbidden = [libc.unshare(0x20000), libc.mount(b"x", b"/mnt", b"tmpfs", 0, None), libc.setns(0, 0)]
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
Path("/output/inside").write_text(f"{forbidden} {status['Seccomp'].strip()} {status['CapBnd'].strip()}")
while not Path("/output/ready").exists(): time.sleep(0.05)
"""
__all__ = ["limited"]  # the fixture


@pytest.fixture
def queue() -> Iterator[int]:
    with new_queue() as number:
        yield number


def in_pod(output: Path) -> list[str]:
    """The beginning of a command that is to run in a pod, with the files of this machine."""
    return [*NAMESPACES, sys.executable, "-m", "tests.live.pod", "/", str(output)]


@pytest.mark.parametrize("options", [[], ["--mode", "survivors"]], ids=["events", "survivors"])
def test_a_recording_in_a_restricted_pod_is_exact(
    limited: Path, queue: int, tmp_path: Path, options: list[str]
) -> None:
    trace, command = tmp_path / "t.slab", [sys.executable, "-c", SEND, str(INSIDE)]
    record = [*SLABTRACE, "record", "-o", "/output/t.slab", *options, "--", *command]
    argv = [*in_cgroup(limited), *in_pod(tmp_path), *record]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as recording:
        wait_for(lambda: began(trace) or recording.poll() is not None)
        send(queue, OUTSIDE)
        (tmp_path / "ready").touch()
        _, stderr = recording.communicate(timeout=PATIENCE_S)
    assert recording.returncode == 0, stderr
    bits = sum(1 << {"bpf": 39, "perfmon": 38, "syslog": 34, "dac_read_search": 2, "sys_nice": 23}[name]
               for name in CAPABILITIES)  # fmt: skip
    forbidden, mode, bounding = (tmp_path / "inside").read_text().rsplit(" ", 2)
    assert (forbidden, mode) == ("[-1, -1, -1]", "2"), "the pod is not as restricted as it should be"
    assert int(bounding, 16) & ~bits == 0
    manifest = load_manifest(trace)
    assert manifest.command is not None and manifest.totals.dropped == 0
    assert left(trace, pid=[manifest.command.pid]) == INSIDE
    assert left(trace, pid=[os.getpid()]) == OUTSIDE


def test_the_doctor_says_what_a_pod_is_like(tmp_path: Path) -> None:
    done = subprocess.run([*in_pod(tmp_path), *SLABTRACE, "doctor"],
                          capture_output=True, text=True, timeout=PATIENCE_S)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PID namespace" in done.stdout
