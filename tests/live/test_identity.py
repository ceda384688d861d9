# SPDX-License-Identifier: Apache-2.0
"""What a trace says of the running kernel: its boot, its build, its modules; and its labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import slabtrace
from tests.live.conftest import Recording, slabtrace_json, wait_for

pytestmark = pytest.mark.live

MODULES = Path("/proc/modules")


def test_the_kernel_its_modules_and_the_labels(start_recording: Callable[..., Recording]) -> None:
    recording = start_recording("--cache", "*msg*", "--label", "role=db", "--label", "note=two words = one")
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached)
    assert recording.end()[0] == 0
    trace = slabtrace.open(recording.trace)
    host = trace.manifest.host
    assert trace.manifest.labels == {"role": "db", "note": "two words = one"}
    assert host.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert host.command_line == Path("/proc/cmdline").read_text().strip()[:4096]
    assert host.tainted == int(Path("/proc/sys/kernel/tainted").read_text()) and host.os.id
    modules = trace.modules().set_index("name")
    assert (modules["build_id"][""], modules["begin"][""]) == (host.build_id, host.stext)
    assert host.build_id and host.stext and modules["size"][""] > 1 << 20
    loaded = {line.split()[0] for line in MODULES.read_text().splitlines()} if MODULES.exists() else set()
    assert set(modules.index) == loaded | {""}
    shown = slabtrace_json("info", str(recording.trace))
    assert [row["build_id"] for row in shown["modules"] if not row["name"]] == [host.build_id]
