# SPDX-License-Identifier: Apache-2.0
"""The kernel lab without a kernel: how a guest ended, a broken cache, usage errors, the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels import __main__ as lab
from tests.kernels import guest, packages, support, workload

PANIC = "[  9.1] Kernel panic - not syncing: Fatal exception\n"
BUG = "[  9.0] BUG: kernel NULL pointer dereference, address: 0\n"
OVERDUE = "the guest did not end within 7 s"


@pytest.mark.parametrize(
    ("files", "overdue", "failure", "status"),
    [
        ({"console.log": "", "status": "0\n", "output": "hello"}, "", "", 0),
        ({"console.log": "", "status": "3\n"}, "", "", 3),
        ({"console.log": BUG + PANIC}, "", "the guest panicked: Fatal exception", None),
        ({"console.log": PANIC, "status": "0\n"}, "", "the guest panicked: Fatal exception", None),
        ({"console.log": ""}, OVERDUE, OVERDUE, None),
        ({}, "", "the guest ended before its command did", None),
    ],
)
def test_how_a_guest_ended_is_reported(
    tmp_path: Path, files: dict[str, str], overdue: str, failure: str, status: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    outcome = guest._outcome(tmp_path, 7.0, overdue)
    assert outcome.status == status
    assert outcome.failure == failure
    assert (str(tmp_path) in outcome.state) == bool(failure)
    assert outcome.panicked == ("panic" in failure)
    assert outcome.complaints == ([BUG[8:-1]] if BUG in files.get("console.log", "") else [])


def test_only_the_kernel_messages_of_the_wrong_free_are_expected() -> None:
    expected = "WARNING: CPU: 0 PID: 163 at mm/slab.h:439 kmem_cache_free+0x3a4/0x440"
    assert workload.COMPLAINT.search(expected)
    assert not workload.COMPLAINT.search(
        "WARNING: CPU: 0 PID: 1 at mm/page_alloc.c:1 get_page_from_freelist+0x1"
    )


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", json.dumps({"release": "6.12"})])
def test_a_broken_cache_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    monkeypatch.setenv("SLABTRACE_KERNELS", str(tmp_path))
    (tmp_path / "6.12" / "root").mkdir(parents=True)
    (tmp_path / "6.12" / "kernel.json").write_text(note)

    def fetch(label: str, folder: Path) -> dict[str, str]:
        root = folder / "root"
        (root / "boot").mkdir(parents=True)
        (root / "boot" / "vmlinuz-6.12.1").touch()
        (root / "usr" / "src" / "linux-headers-6.12.1").mkdir(parents=True)
        return {"release": "6.12.1"}

    monkeypatch.setattr(packages, "_fetch", fetch)
    assert packages.obtain("6.12").image.name == "vmlinuz-6.12.1"
    monkeypatch.setattr(packages, "_fetch", None)  # now it is in the cache
    assert packages.obtain("6.12").release == "6.12.1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["2.6"], "no such kernel: 2.6; there are 5.10, 6.1"),
        (["--timeout", "0"], "--timeout must be more than 0"),
    ],
)
def test_usage_errors(arguments: list[str], words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.kernels", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "Traceback" not in done.stderr


def test_an_unreachable_archive_is_one_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLABTRACE_KERNELS", str(tmp_path))
    monkeypatch.delenv("SLABTRACE_MIRROR", raising=False)
    monkeypatch.setattr(packages, "_run", lambda argv, cwd=None: "")
    monkeypatch.setattr(sys, "argv", ["tests.kernels", "6.12"])
    assert lab.main() == 1
    out = capsys.readouterr().out
    assert "apt knows no Debian archive here; set SLABTRACE_MIRROR=" in out and "Traceback" not in out


def test_the_support_table_has_a_row_for_each_feature_of_any_kernel() -> None:
    table = support.table([{"": "6.1", "a": "yes"}, {}, {"": "7.3", "a": "no", "b": "17 of 17"}])
    assert table == "|  | 6.1 | 7.3 |\n| --- | --- | --- |\n| a | yes | no |\n| b | – | 17 of 17 |\n"
